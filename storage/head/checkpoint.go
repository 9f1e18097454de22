package head

import (
	"encoding/binary"
	"fmt"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// MaxRecordBytes bounds a record of a checkpoint, apart from what can't be divided.
const MaxRecordBytes = 1 << 20

// The kinds of records.
const (
	recordVersion = 1

	recordGeneration = 1
	recordSeries     = 2
	recordFrame      = 3

	recordHeader = 2
)

// Checkpoint hands everything in the head, and what is being flushed too, to emit as records. emit
// may not keep a record.
func (h *Head) Checkpoint(emit func(record []byte) error) error { return h.checkpoint(emit, false) }

func (h *Head) checkpoint(emit func(record []byte) error, fromLine bool) error {
	w := recordWriter{emit: emit}
	head := binary.AppendUvarint(nil, uint64(h.generation.Load()))
	if err := w.whole(recordGeneration, head); err != nil {
		return err
	}
	g := gather{head: h}
	for number, p := range *h.pages.Load() {
		if p == nil {
			continue
		}
		for _, s := range g.entries(p, uint32(number)*pageSeries, fromLine) {
			if err := w.series(s); err != nil {
				return err
			}
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	return h.checkpointFrames(&w)
}

// entry is a series in a checkpoint.
type entry struct {
	ref    series.Ref
	labels series.Labels
	lastT  int64
	closed []chunk.Chunk // by start
	open   chunk.Chunk   // without samples if there is none
}

// entries copies what a page has, or of that what the log from the line on lacks. Late samples become
// a closed chunk.
func (g *gather) entries(p *page, first uint32, fromLine bool) []entry {
	out := make([]entry, 0, pageSeries)
	g.arena = g.arena[:0]
	labels := g.head.index.Read()
	defer labels.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for j := range uint32(pageSeries) {
		gen := p.mu.cells[j].gen
		if gen == 0 {
			continue
		}
		ref := series.MakeRef(first+j, gen)
		var e entry
		if fromLine && p.mu.behind[j] {
			e = p.entryAtLine(ref)
		} else {
			e = g.entry(p, ref)
		}
		from := len(g.arena)
		g.arena = labels.AppendLabels(g.arena, first+j)
		e.labels = g.arena[from:len(g.arena):len(g.arena)]
		out = append(out, e)
	}
	return out
}

// entry copies what a series has, but for its labels.
func (g *gather) entry(p *page, ref series.Ref) entry {
	j := ref.Index() % pageSeries
	e := entry{ref: ref, lastT: p.lastT(j)}
	e.open, g.arena = p.snapshot(j, g.arena)
	for at := range p.closed(j) {
		e.closed = append(e.closed, at.chunk())
	}
	if late := p.mu.state[j].late(); len(late) > 0 {
		e.closed = g.appendLate(e.closed, late)
	}
	sortByMinT(e.closed)
	return e
}

// recordWriter fills records with entries of series.
type recordWriter struct {
	emit   func([]byte) error
	record []byte
	row    []byte
}

// whole emits a record of its own.
func (w *recordWriter) whole(kind byte, body []byte) error {
	return w.emit(append([]byte{recordVersion, kind}, body...))
}

func (w *recordWriter) flush() error {
	if len(w.record) == 0 {
		return nil
	}
	err := w.emit(w.record)
	w.record = w.record[:0]
	return err
}

// series writes an entry, divided where its chunks are too large for one record.
func (w *recordWriter) series(e entry) error {
	for {
		n, size := 0, len(e.labels)+len(e.open.Data)+128
		for n < len(e.closed) && (n == 0 || size+len(e.closed[n].Data) < MaxRecordBytes/2) {
			size += len(e.closed[n].Data) + 32
			n++
		}
		part := e
		part.closed, e.closed = e.closed[:n], e.closed[n:]
		if len(e.closed) > 0 {
			part.open = chunk.Chunk{}
		}
		if err := w.entry(part, size); err != nil {
			return err
		}
		if len(e.closed) == 0 {
			return nil
		}
	}
}

// entry writes an entry of about this size.
func (w *recordWriter) entry(e entry, size int) error {
	if len(w.record)+size > MaxRecordBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(w.record) == 0 {
		w.record = append(w.record, recordVersion, recordSeries)
	}
	w.record = binary.AppendUvarint(w.record, uint64(e.ref.Index()))
	w.record = binary.AppendUvarint(w.record, uint64(e.ref.Generation()))
	w.record = binary.AppendUvarint(w.record, uint64(len(e.labels)))
	w.record = append(w.record, e.labels...)
	w.record = binary.AppendVarint(w.record, e.lastT)
	var open []chunk.Chunk
	if e.open.Samples > 0 {
		open = []chunk.Chunk{e.open}
	}
	for _, chunks := range [2][]chunk.Chunk{e.closed, open} {
		row, err := chunk.AppendRow(w.row[:0], chunks, nil)
		if err != nil {
			return fmt.Errorf("checkpoint %s: %w", e.labels, err)
		}
		w.record = binary.AppendUvarint(w.record, uint64(len(row)))
		w.record = append(w.record, row...)
		w.row = row
	}
	return nil
}

// perFrame is the number of exemplars or metadata entries in one record.
const perFrame = 1000

func (h *Head) checkpointFrames(w *recordWriter) error {
	write := func(f *frame.Frame) error { return w.whole(recordFrame, frame.AppendEncode(nil, f)) }
	for xs := h.exemplars.all(); len(xs) > 0; {
		n := min(len(xs), perFrame)
		if err := write(&frame.Frame{Exemplars: xs[:n]}); err != nil {
			return err
		}
		xs = xs[n:]
	}
	for ms := h.Metadata(); len(ms) > 0; {
		n := min(len(ms), perFrame)
		if err := write(&frame.Frame{Metadata: ms[:n]}); err != nil {
			return err
		}
		ms = ms[n:]
	}
	return nil
}
