package index

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/barograph-db/barograph/storage/series"
)

// Mem is the head's index. Its numbers are the indexes of the head's references.
type Mem struct {
	mu struct {
		sync.RWMutex
		all     postings
		pairs   pairs
		names   []name
		numbers map[string]uint32 // of names
		sets    sets
	}
}

// name is a label name with its labels. Names stay for good: there are few.
type name struct {
	text  string
	pairs []uint32
	// ordered are the values of pairs[:len(ordered)], sorted, for readers to walk without the lock.
	// It is never written once it is here; who wants the values in order merges in what is missing.
	ordered []string
	// removals counts how often pairs lost something, at which ordered starts anew.
	removals uint32
}

// NewMem returns an empty index.
func NewMem() *Mem {
	m := &Mem{}
	m.mu.numbers = map[string]uint32{}
	return m
}

// Entry is a series to add.
type Entry struct {
	ID     uint32
	Labels series.Labels
}

// Add puts series in. Their numbers must be free and their labels canonical.
func (m *Mem) Add(entries ...Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var (
		scratch []byte
		last    []lastLabel // of the series before
		all     run
	)
	for _, e := range entries {
		scratch = scratch[:0]
		i := 0
		for label, value := range e.Labels.All() {
			if i == len(last) {
				last = append(last, lastLabel{})
			}
			l := &last[i]
			i++
			if !bytes.Equal(l.value, value) || !bytes.Equal(l.name, label) {
				m.addRunLocked(l)
				*l = lastLabel{name: label, value: value, pair: m.pairLocked(label, value)}
			}
			if !l.extend(e.ID) {
				m.addRunLocked(l)
				l.run = run{e.ID, e.ID + 1}
			}
			scratch = binary.AppendUvarint(scratch, uint64(l.pair))
		}
		m.mu.sets.put(e.ID, scratch)
		if !all.extend(e.ID) {
			m.mu.all.addRun(all)
			all = run{e.ID, e.ID + 1}
		}
	}
	for i := range last {
		m.addRunLocked(&last[i])
	}
	m.mu.all.addRun(all)
}

// lastLabel is a label of a series that is being added. The next one, which mostly is its neighbour in
// every sense, has the same label more often than not: it need not be looked up again, and its number
// only makes a run longer.
type lastLabel struct {
	name, value []byte
	pair        uint32
	run
}

// run is the numbers from from to to, to not included.
type run struct{ from, to uint32 }

// extend makes the run longer by a number; false if that does not follow on it.
func (r *run) extend(id uint32) bool {
	if r.from == r.to || r.to != id {
		return false
	}
	r.to++
	return true
}

func (m *Mem) addRunLocked(l *lastLabel) {
	if l.from < l.to {
		m.mu.pairs.at(l.pair).addRun(l.run)
	}
}

// pairLocked returns the number of a label, which is new if need be.
func (m *Mem) pairLocked(label, value []byte) uint32 {
	number, ok := m.mu.numbers[string(label)]
	if !ok {
		number = uint32(len(m.mu.names))
		m.mu.names = append(m.mu.names, name{text: string(label)})
		m.mu.numbers[m.mu.names[number].text] = number
	}
	hash := hashPair(number, value)
	if n, ok := m.mu.pairs.find(number, value, hash); ok {
		return n
	}
	n := m.mu.pairs.insert(number, value, hash)
	m.mu.names[number].pairs = append(m.mu.names[number].pairs, n)
	return n
}

// Remove takes series out. Numbers that are not in are passed over.
func (m *Mem) Remove(ids *roaring.Bitmap) {
	m.mu.Lock()
	defer m.mu.Unlock()
	poorer := map[uint32]bool{} // names that lost a value
	for it := ids.Iterator(); it.HasNext(); {
		id := it.Next()
		if !m.mu.all.has(id) {
			continue
		}
		m.mu.all.remove(id)
		for n := range pairNumbers(m.mu.sets.get(id)) {
			p := m.mu.pairs.at(n)
			p.remove(id)
			if p.len() == 0 {
				poorer[p.name] = true
			}
		}
		m.mu.sets.put(id, nil)
	}
	for number := range poorer {
		owner := &m.mu.names[number]
		owner.pairs = slices.DeleteFunc(owner.pairs, func(n uint32) bool {
			gone := m.mu.pairs.at(n).len() == 0
			if gone {
				m.mu.pairs.remove(n)
			}
			return gone
		})
		owner.ordered = nil
		owner.removals++
	}
}

// pairNumbers yields the numbers in a set.
func pairNumbers(set []byte) func(yield func(uint32) bool) {
	return func(yield func(uint32) bool) {
		var n uint32
		shift := 0
		for i := range len(set) {
			n |= uint32(set[i]&0x7f) << shift
			if shift += 7; set[i] < 0x80 {
				if !yield(n) {
					return
				}
				n, shift = 0, 0
			}
		}
	}
}

// Reader reads labels of many series under one hold of the index's lock. No call to the index
// itself may come between Read and Close.
type Reader struct{ m *Mem }

// Read begins reading labels. Close must follow soon: additions wait for it.
func (m *Mem) Read() Reader {
	m.mu.RLock()
	return Reader{m}
}

// Close ends reading.
func (r Reader) Close() { r.m.mu.RUnlock() }

// AppendLabels appends the label bytes of a series to dst, nothing if it is not in the index.
func (r Reader) AppendLabels(dst series.Labels, id uint32) series.Labels {
	for n := range pairNumbers(r.m.mu.sets.get(id)) {
		p := r.m.mu.pairs.at(n)
		dst = series.AppendPair(dst, r.m.mu.names[p.name].text, p.value)
	}
	return dst
}

// Equal reports whether ls are the labels of a series.
func (r Reader) Equal(id uint32, ls series.Labels) bool {
	var scratch [512]byte
	return string(r.AppendLabels(scratch[:0], id)) == string(ls)
}
