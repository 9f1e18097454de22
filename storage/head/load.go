package head

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// errRecord marks bytes that are no record of a checkpoint.
var (
	errRecord = errors.New("checkpoint record is corrupt")
	errShort  = fmt.Errorf("%w: entry cut short", errRecord)
)

// LoadCheckpoint takes in a record. keep says for a timestamp whether it is still wanted, and must
// say so of all later ones then; nil is all. A chunk stays whole if its last sample is wanted. The
// record is not kept. After an error, part of it may be in the head.
func (h *Head) LoadCheckpoint(record []byte, keep func(t int64) bool) error {
	if len(record) < recordHeader || record[0] != recordVersion {
		return fmt.Errorf("%w: %d bytes of unknown version", errRecord, len(record))
	}
	body := record[recordHeader:]
	switch record[1] {
	case recordGeneration:
		gen, ok := cutUvarint(&body)
		if !ok || gen == 0 || gen > math.MaxUint32 || len(body) > 0 {
			return fmt.Errorf("%w: generation %d", errRecord, gen)
		}
		h.creation.Lock()
		h.generation.Store(max(h.generation.Load(), uint32(gen)))
		h.creation.Unlock()
		return nil
	case recordSeries:
		return h.loadSeries(body, keep)
	case recordFrame:
		var f frame.Frame
		if err := frame.Decode(&f, body); err != nil {
			return fmt.Errorf("%w: %w", errRecord, err)
		}
		if len(f.Series)+f.Samples() > 0 {
			return fmt.Errorf("%w: frame with samples", errRecord)
		}
		b := h.newBatch(&f)
		b.exemplars(func(series.Ref) bool { return true }) // Their series may come later.
		b.finish()
		h.metadata.put(f.Metadata)
		return nil
	}
	return fmt.Errorf("%w: kind %d", errRecord, record[1])
}

// load is scratch space for one record; it views the record's bytes.
type load struct {
	entries []entry
	chunks  []chunk.Chunk // of all entries
	defs    []frame.SeriesDef
}

var loads = sync.Pool{New: func() any { return &load{} }}

func (l *load) release() {
	clear(l.entries)
	clear(l.chunks)
	clear(l.defs)
	l.entries, l.chunks, l.defs = l.entries[:0], l.chunks[:0], l.defs[:0]
	loads.Put(l)
}

func (h *Head) loadSeries(body []byte, keep func(t int64) bool) error {
	l := loads.Get().(*load)
	defer l.release()
	for len(body) > 0 {
		e, rest, err := cutEntry(&l.chunks, body)
		if err != nil {
			return err
		}
		l.entries = append(l.entries, e)
		l.defs = append(l.defs, frame.SeriesDef{Ref: e.ref, Labels: e.labels})
		body = rest
	}
	if err := h.define(l.defs); err != nil {
		return err
	}
	b := h.newBatch(&frame.Frame{})
	b.keep = keep
	defer b.finish()
	for _, e := range l.entries {
		p, j := h.page(e.ref.Index()), e.ref.Index()%pageSeries
		if p == nil {
			continue
		}
		p.mu.Lock()
		var err error
		if p.mu.cells[j].gen == e.ref.Generation() {
			err = b.restore(p, j, e)
		}
		p.mu.Unlock()
		if err != nil {
			return fmt.Errorf("%w: series %s: %w", errRecord, e.labels, err)
		}
	}
	return nil
}

// cutEntry takes an entry off the front of body, which it views.
func cutEntry(chunks *[]chunk.Chunk, body []byte) (e entry, rest []byte, err error) {
	n, ok := cutUvarint(&body)
	gen, ok2 := cutUvarint(&body)
	ls, ok3 := cutBytes(&body)
	if !ok || !ok2 || !ok3 || n >= maxSeries || gen > math.MaxUint32 {
		return e, nil, errShort
	}
	e.ref, e.labels = series.MakeRef(uint32(n), uint32(gen)), series.Labels(ls)
	lastT, size := binary.Varint(body)
	if size <= 0 {
		return e, nil, errShort
	}
	e.lastT, body = lastT, body[size:]
	closedRow, ok := cutBytes(&body)
	openRow, ok2 := cutBytes(&body)
	if !ok || !ok2 {
		return e, nil, errShort
	}
	from := len(*chunks)
	if *chunks, err = chunk.DecodeRow(*chunks, closedRow, nil); err != nil {
		return e, nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	to := len(*chunks)
	if *chunks, err = chunk.DecodeRow(*chunks, openRow, nil); err != nil {
		return e, nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	e.closed = (*chunks)[from:to:to]
	switch open := (*chunks)[to:]; len(open) {
	case 0:
	case 1:
		e.open = open[0]
	default:
		return e, nil, fmt.Errorf("%w: %d open chunks", errRecord, len(open))
	}
	return e, body, nil
}

// restore gives a series its chunks back. What it may have from another entry stays.
func (b *batch) restore(p *page, j uint32, e entry) error {
	st := &p.mu.state[j]
	for _, c := range e.closed {
		if err := b.restoreClosed(p, j, c); err != nil {
			return err
		}
	}
	st.lastT = max(st.lastT, e.lastT)
	if st.lastT != noTime {
		b.maxTime = max(b.maxTime, st.lastT)
	}
	if e.open.Samples == 0 || b.keep != nil && !b.keep(e.open.MaxT) {
		return nil
	}
	if _, _, busy := p.openRange(j); busy || e.open.MaxT != e.lastT || !b.oneSlot(e.open) {
		return b.restoreClosed(p, j, e.open)
	}
	if e.open.Enc == chunk.XOR {
		if err := p.mu.cells[j].open.Resume(e.open); err != nil {
			return err
		}
	} else if err := st.needBuilder().Resume(e.open); err != nil {
		st.side.builder = nil
		return err
	}
	b.pushTaken(p, j)
	p.setGate(j)
	if _, last, ok := p.openRange(j); !ok || last != e.open.MaxT {
		return fmt.Errorf("open chunk ends at %d, not at %d", last, e.open.MaxT)
	}
	f := b.figure(floorSlot(e.open.MinT, b.head.opts.SlotMillis))
	f.samples += int64(e.open.Samples)
	f.minT = min(f.minT, e.open.MinT)
	return nil
}

func (b *batch) restoreClosed(p *page, j uint32, c chunk.Chunk) error {
	if b.keep != nil && !b.keep(c.MaxT) {
		return nil
	}
	if !b.oneSlot(c) {
		return fmt.Errorf("chunk from %d to %d is not within a slot", c.MinT, c.MaxT)
	}
	p.addClosed(j, c)
	b.tally.closed++
	b.count(c, 1)
	return nil
}

func (b *batch) oneSlot(c chunk.Chunk) bool {
	slot := b.head.opts.SlotMillis
	return floorSlot(c.MinT, slot) == floorSlot(c.MaxT, slot)
}

func cutUvarint(b *[]byte) (uint64, bool) {
	x, n := binary.Uvarint(*b)
	if n <= 0 {
		return 0, false
	}
	*b = (*b)[n:]
	return x, true
}

func cutBytes(b *[]byte) ([]byte, bool) {
	n, ok := cutUvarint(b)
	if !ok || n > uint64(len(*b)) {
		return nil, false
	}
	field := (*b)[:n:n]
	*b = (*b)[n:]
	return field, true
}
