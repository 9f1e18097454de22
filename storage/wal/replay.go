package wal

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ReplayStats says what a replay read.
type ReplayStats struct {
	Checkpoint   uint64 // the number of the checkpoint it began with; 0 for none
	Segments     int
	Records      int // delivered, those of the checkpoint too
	Bytes        int64
	TornBytes    int64
	Damaged      int // runs of unreadable bytes, and files missing
	DamagedBytes int64
	Duration     time.Duration
}

// Replay calls fn for each record: first those of the checkpoint, with the number of the segment
// it stands before, then those of the segments after it, in the order they were appended. The
// payload is valid during the call. What is damaged is skipped; the error is fn's, or says that a
// file can't be opened. Nothing is changed on disk, so that a replay may be interrupted and
// repeated.
func (w *WAL) Replay(fn func(seg uint64, kind Kind, payload []byte) error) (ReplayStats, error) {
	begin := time.Now()
	r := replay{wal: w, fn: fn}
	for _, d := range w.found.damaged {
		r.damaged(d)
	}
	end, err := r.checkpoint()
	if err != nil {
		return r.stats, err
	}
	for i := range w.found.segments {
		r.missing(i)
		if end, err = r.segment(i); err != nil {
			return r.stats, err
		}
	}
	w.log.last = end
	w.mu.Lock()
	w.mu.replayed = true
	w.mu.Unlock()
	r.stats.Duration = time.Since(begin)
	return r.stats, nil
}

// A replay is one call of Replay.
type replay struct {
	wal    *WAL
	fn     func(seg uint64, kind Kind, payload []byte) error
	stats  ReplayStats
	window []byte
}

func (r *replay) deliver(seg uint64) func(record) error {
	return func(rec record) error {
		if rec.kind == kindPad {
			return nil
		}
		r.stats.Records++
		if err := r.fn(seg, rec.kind, rec.payload); err != nil {
			return fmt.Errorf("replay record at %d of segment %d: %w", rec.offset, seg, err)
		}
		return nil
	}
}

// checkpoint delivers the base, and returns where the log ends if no segment follows.
func (r *replay) checkpoint() (link, error) {
	base := r.wal.found.base
	if base == nil {
		return link{}, nil
	}
	r.stats.Checkpoint = base.number
	r.stats.Bytes += base.size
	d, err := readCheckpoint(r.wal.dir.fs, *base, r.deliver(base.number))
	if err != nil {
		return link{}, err
	}
	if d.Holes > 0 {
		r.damaged(d)
	}
	if len(r.wal.found.segments) == 0 { // There is one from the moment the log was cut.
		r.damaged(Damage{Path: r.wal.dir.segment(base.number)})
	}
	return link{number: base.number}, nil
}

// missing reports the file that segment i names as the one before it, if it should be there.
func (r *replay) missing(i int) {
	seg := r.wal.found.segments[i]
	if !seg.whole {
		return
	}
	prev, known := seg.header.prev.number, uint64(0)
	switch base := r.wal.found.base; {
	case i > 0:
		known = r.wal.found.segments[i-1].number
	case base != nil:
		known = base.number - 1
	}
	if prev > known {
		r.damaged(Damage{Path: r.wal.dir.segment(prev)})
	}
}

// segment delivers the records of segment i and returns where it ends.
func (r *replay) segment(i int) (link, error) {
	seg := r.wal.found.segments[i]
	r.stats.Segments++
	r.stats.Bytes += seg.size
	end := link{number: seg.number, good: seg.size, end: seg.size}
	if !seg.whole {
		r.damaged(Damage{Path: seg.path, Bytes: seg.size, Holes: 1})
		return end, nil
	}
	last := i == len(r.wal.found.segments)-1
	if !last {
		if next := r.wal.found.segments[i+1]; next.whole && next.header.prev.number == seg.number {
			end = next.header.prev
		}
	}
	s, err := scan(r.wal.dir.fs, seg, end.end, &r.window, r.deliver(seg.number))
	if err != nil {
		return end, err
	}
	if !last {
		r.holes(seg, s, end.good)
		return end, nil
	}
	torn := r.holes(seg, s, s.synced)
	end.good, end.end = s.last, s.last
	if len(torn) == 0 {
		return end, nil
	}
	end.good = min(end.good, torn[0].from)
	r.torn(seg.number, torn)
	return end, nil
}

// holes reports those that begin before good as damage and returns the others.
func (r *replay) holes(seg file, s scanned, good int64) []hole {
	for i, h := range s.holes {
		if h.from >= good {
			r.damage(seg, s, s.holes[:i])
			return s.holes[i:]
		}
	}
	r.damage(seg, s, s.holes)
	return nil
}

func (r *replay) damage(seg file, s scanned, holes []hole) {
	if len(holes) > 0 {
		r.damaged(damageOf(seg.path, holes, s.err))
	}
}

func (r *replay) damaged(d Damage) {
	n := max(d.Holes, 1)
	r.stats.Damaged += n
	r.stats.DamagedBytes += d.Bytes
	r.wal.metrics.corruptions.Add(float64(n))
	r.wal.metrics.lost.Add(float64(d.Bytes))
	if f := r.wal.opts.Events.Damaged; f != nil {
		f(d)
	}
}

func (r *replay) torn(seg uint64, holes []hole) {
	t := TornTail{Segment: seg, Offset: holes[0].from}
	for _, h := range holes {
		t.Bytes += h.to - h.from
	}
	r.stats.TornBytes += t.Bytes
	r.wal.metrics.truncated.Add(float64(t.Bytes))
	if f := r.wal.opts.Events.TornTail; f != nil {
		f(t)
	}
}

func damageOf(path string, holes []hole, err error) Damage {
	d := Damage{Path: path, Offset: holes[0].from, Holes: len(holes), Err: err}
	for _, h := range holes {
		d.Bytes += h.to - h.from
	}
	return d
}

// A hole is a run of bytes without a readable record.
type hole struct{ from, to int64 }

// scanned is what became of a file's bytes.
type scanned struct {
	holes  []hole
	synced int64 // all before it was on disk when the last record was written
	last   int64 // the end of the last record
	err    error // the first that the disk gave
}

// scan calls fn for each whole record of f before end, in order. buf is its window, for the next
// file to use again.
func scan(fs vfs.FS, f file, end int64, buf *[]byte, fn func(record) error) (scanned, error) {
	out := scanned{last: firstRecord}
	r, err := fs.Open(f.path, vfs.SequentialReadsOption)
	if err != nil {
		return out, err
	}
	defer func() { _ = r.Close() }()
	s := scanner{r: r, seed: f.header.seed(), pos: firstRecord, end: min(end, f.size), buf: (*buf)[:0]}
	for {
		rec, skipped, ok := s.next()
		if !ok {
			break
		}
		if skipped > 0 {
			out.holes = append(out.holes, hole{rec.offset - skipped, rec.offset})
		}
		out.synced, out.last = max(out.synced, rec.synced), rec.end()
		if err := fn(rec); err != nil {
			return out, err
		}
	}
	if out.last < end {
		out.holes = append(out.holes, hole{out.last, end})
	}
	out.err, *buf = s.err, s.buf
	return out, nil
}

// readCheckpoint calls fn for each readable record of a checkpoint and returns what is damaged;
// without holes, nothing is.
func readCheckpoint(fs vfs.FS, f file, fn func(record) error) (Damage, error) {
	if !f.whole {
		return Damage{Path: f.path, Bytes: f.size, Holes: 1}, nil
	}
	records, complete := uint64(0), false
	var buf []byte
	s, err := scan(fs, f, f.size, &buf, func(rec record) error {
		if rec.kind == kindEnd {
			complete = len(rec.payload) == 8 && binary.LittleEndian.Uint64(rec.payload) == records
			return nil
		}
		records++
		return fn(rec)
	})
	switch {
	case err != nil:
		return Damage{}, err
	case len(s.holes) > 0:
		return damageOf(f.path, s.holes, s.err), nil
	case !complete:
		return Damage{Path: f.path, Offset: f.size, Holes: 1, Err: s.err}, nil
	}
	return Damage{}, nil
}

func verify(fs vfs.FS, f file) (Damage, error) {
	return readCheckpoint(fs, f, func(record) error { return nil })
}
