package router

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/barograph-db/barograph/storage/series"
)

const pageSeries = 256

// table holds the series that are known here. See the package.
type table struct {
	max  int
	idle uint32 // epochs

	// pages by number; a page is never moved or removed. Only who holds free replaces the list.
	pages   atomic.Pointer[[]*page]
	count   atomic.Int64
	stripes [numStripes]stripe

	free struct {
		sync.Mutex
		next       uint32   // the first index that was never used
		indexes    []uint32 // to be used again
		generation uint32   // of the next series to be created
	}
	sweep sweep
}

type page struct {
	mu struct {
		sync.RWMutex
		// text holds label bytes. It is only appended to, or left for another one: those who have
		// views of it keep them. A place without labels has the span 0 to 0.
		text []byte
		lost int // bytes of text that belong to no series
		at   [pageSeries]struct{ from, to uint32 }
	}
	cells [pageSeries]cell
}

// cell is what a sample needs of its series. Who changes what series it is of holds its page's lock.
type cell struct {
	gen   atomic.Uint32 // zero: of none
	used  atomic.Uint32 // the epoch of the last use
	local atomic.Uint64 // the series.Ref in this node's store; zero is not known
	fp    atomic.Uint64
}

func newTable(most int, idle uint32) *table {
	t := &table{max: most, idle: idle}
	t.pages.Store(&[]*page{})
	t.free.generation = 1
	return t
}

// len is the number of series.
func (t *table) len() int { return int(t.count.Load()) }

// cell returns that of a reference, nil if there is none. It may be another series' by now.
func (t *table) cell(ref series.Ref) (*page, *cell) {
	pages, n := *t.pages.Load(), ref.Index()
	if int(n/pageSeries) >= len(pages) {
		return nil, nil
	}
	p := pages[n/pageSeries]
	return p, &p.cells[n%pageSeries]
}

// is reports whether the cell is of the series, looking at the generation last.
func (c *cell) is(ref series.Ref) bool {
	gen := c.gen.Load()
	return gen == ref.Generation() && gen != 0
}

// use notes that the series was used.
func (c *cell) use(epoch uint32) {
	if c.used.Load() != epoch {
		c.used.Store(epoch)
	}
}

// find returns the reference of a label set, zero if it is not known.
func (t *table) find(fp series.Fingerprint, ls series.Labels, epoch uint32) series.Ref {
	s := t.stripeOf(fp)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return t.findLocked(s, fp, ls, epoch)
}

func (t *table) findLocked(s *stripe, fp series.Fingerprint, ls series.Labels, epoch uint32) (ref series.Ref) {
	_, _ = s.findLocked(fp, func(index uint32) bool {
		p, c := t.cell(series.Ref(index))
		p.mu.RLock()
		defer p.mu.RUnlock()
		if c.fp.Load() != uint64(fp) || !bytes.Equal(p.labelsLocked(index%pageSeries), ls) {
			return false
		}
		c.use(epoch)
		ref = series.MakeRef(index, c.gen.Load())
		return true
	})
	return ref
}

// create is find that makes the series known. It returns zero when there is no room for it.
func (t *table) create(fp series.Fingerprint, ls series.Labels, epoch uint32) series.Ref {
	s := t.stripeOf(fp)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref := t.findLocked(s, fp, ls, epoch); ref != 0 {
		return ref
	}
	ref := t.take()
	if ref == 0 {
		return 0
	}
	p, c := t.cell(ref)
	p.mu.Lock()
	p.setLocked(ref.Index()%pageSeries, ls)
	c.fp.Store(uint64(fp))
	c.local.Store(0)
	c.used.Store(epoch)
	c.gen.Store(ref.Generation())
	p.mu.Unlock()
	s.insertLocked(fp, ref.Index())
	return ref
}

// take returns a reference that was never given out, zero if there is no room.
func (t *table) take() series.Ref {
	f := &t.free
	f.Lock()
	defer f.Unlock()
	if t.len() >= t.max {
		return 0
	}
	t.count.Add(1)
	if last := len(f.indexes) - 1; last >= 0 {
		n := f.indexes[last]
		f.indexes = f.indexes[:last]
		return series.MakeRef(n, f.generation)
	}
	n := f.next
	f.next++
	if pages := *t.pages.Load(); int(n/pageSeries) == len(pages) {
		pages = append(pages, &page{}) // Readers have a shorter list: this is behind its end.
		t.pages.Store(&pages)
	}
	return series.MakeRef(n, f.generation)
}

// labels of a series, nil if it is not known any more. They may be kept.
func (t *table) labels(ref series.Ref) series.Labels {
	p, c := t.cell(ref)
	if p == nil {
		return nil
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if !c.is(ref) {
		return nil
	}
	if ls := p.labelsLocked(ref.Index() % pageSeries); ls != nil {
		return ls
	}
	return series.Labels{}
}

// setLocal notes the reference that a series has in this node's store, if it is still known.
func (t *table) setLocal(ref, local series.Ref) {
	p, c := t.cell(ref)
	if p == nil {
		return
	}
	p.mu.RLock() // The cell stays of the series that it is of.
	defer p.mu.RUnlock()
	if c.is(ref) {
		c.local.Store(uint64(local))
	}
}

func (p *page) labelsLocked(j uint32) series.Labels {
	at := p.mu.at[j]
	return series.Labels(p.mu.text[at.from:at.to:at.to])
}

// setLocked gives a free place its labels. Text of which half is lost is written anew before.
func (p *page) setLocked(j uint32, ls series.Labels) {
	if len(ls) == 0 {
		return
	}
	if p.mu.lost > len(p.mu.text)/2 {
		text := make([]byte, 0, len(p.mu.text)-p.mu.lost+len(ls))
		for i := range p.mu.at {
			at := &p.mu.at[i]
			if at.from == at.to {
				continue
			}
			from := len(text)
			text = append(text, p.mu.text[at.from:at.to]...)
			at.from, at.to = uint32(from), uint32(len(text))
		}
		p.mu.text, p.mu.lost = text, 0
	}
	from := len(p.mu.text)
	p.mu.text = append(p.mu.text, ls...)
	if j == pageSeries-1 { // Pages are filled in order, at first.
		p.mu.text = bytes.Clone(p.mu.text)
	}
	p.mu.at[j].from, p.mu.at[j].to = uint32(from), uint32(len(p.mu.text))
}

// dropLocked takes a place's labels away.
func (p *page) dropLocked(j uint32) {
	at := &p.mu.at[j]
	p.mu.lost += int(at.to - at.from)
	at.from, at.to = 0, 0
	if p.mu.lost == len(p.mu.text) {
		p.mu.text, p.mu.lost = nil, 0
	}
}
