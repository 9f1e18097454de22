package outbox

import (
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// queue is what is kept for one peer.
type queue struct {
	outbox *Outbox
	peer   placement.NodeID

	mu struct {
		sync.Mutex
		segments []segmentOf // the oldest first
		open     *openSegment
		gap      gapRecord
		losses   uint64 // grows with each, from a number by chance
		known    bool   // the gap is on disk: there is something
	}
}

// segmentOf is a segment and what it has.
type segmentOf struct {
	number uint64
	extent
	records uint32 // those added by this process
}

// openSegment is the last of a queue, while frames are added to it. It is gone with the process; the
// next one begins another.
type openSegment struct {
	encoder *frame.Encoder
	// defined has the generation plus one of each reference that the segment has the labels of.
	defined []uint32
	scratch []frame.SeriesDef
	value   []byte
}

func newOpenSegment() *openSegment { return &openSegment{encoder: frame.NewEncoder()} }

// put adds a frame; it is not synced yet.
func (q *queue) put(f *frame.Frame, labels Labels) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.mu.segments); q.mu.open == nil || q.mu.segments[n-1].bytes >= q.outbox.opts.SegmentBytes {
		if err := q.rollLocked(); err != nil {
			return err
		}
	}
	seg, s := &q.mu.segments[len(q.mu.segments)-1], q.mu.open
	own := *f
	own.Series = s.define(f, labels)
	next := extent{span: seg.with(spanOf(f)), bytes: seg.bytes}
	if err := q.openGapLocked(next.from); err != nil {
		return err
	}
	before := seg.bytes
	err := s.encoder.Encode(&own, func(record []byte) error {
		next.bytes += int64(len(record))
		s.value = append(next.append(s.value[:0]), record...)
		return q.outbox.db.Set(key(q.peer, seg.number, seg.records), s.value, pebble.NoSync)
	})
	if err != nil {
		s.undefine(own.Series)
		return err
	}
	seg.records++
	seg.extent = next
	q.outbox.metrics.bytes.Add(float64(next.bytes - before))
	return nil
}

// rollLocked begins a segment, and gives the oldest up where there is too much.
func (q *queue) rollLocked() error {
	sum, number := int64(0), uint64(1)
	for _, s := range q.mu.segments {
		sum += s.bytes
		number = s.number + 1
	}
	for sum > q.outbox.opts.MaxBytes-q.outbox.opts.SegmentBytes && len(q.mu.segments) > 0 {
		oldest := q.mu.segments[0]
		q.outbox.opts.Logger.Warn("More is kept for a peer than may be: the oldest is given up",
			"peer", q.peer, "bytes", oldest.bytes)
		q.outbox.metrics.givenUp.Add(float64(oldest.bytes))
		if err := q.loseLocked(oldest.span); err != nil {
			return err
		}
		if err := q.dropLocked(oldest.number); err != nil {
			return err
		}
		sum -= oldest.bytes
	}
	q.mu.segments = append(q.mu.segments, segmentOf{number: number, extent: extent{span: nothing}})
	q.mu.open = newOpenSegment()
	return nil
}

// define returns the definitions that a frame needs beside those the segment has.
func (s *openSegment) define(f *frame.Frame, labels Labels) []frame.SeriesDef {
	s.scratch = s.scratch[:0]
	one := func(ref series.Ref) {
		i := int(ref.Index())
		if i >= len(s.defined) {
			s.defined = append(s.defined, make([]uint32, i+1-len(s.defined))...)
		}
		if s.defined[i] != ref.Generation()+1 {
			s.defined[i] = ref.Generation() + 1
			s.scratch = append(s.scratch, frame.SeriesDef{Ref: ref, Labels: labels(ref)})
		}
	}
	for _, ref := range f.Refs {
		one(ref)
	}
	for i := range f.Histograms {
		one(f.Histograms[i].Ref)
	}
	for i := range f.Exemplars {
		one(f.Exemplars[i].Ref)
	}
	return s.scratch
}

func (s *openSegment) undefine(defs []frame.SeriesDef) {
	for _, d := range defs {
		s.defined[d.Ref.Index()] = 0
	}
}

// spanOf is the times of a frame.
func spanOf(f *frame.Frame) span {
	s := nothing
	for _, t := range f.Times {
		s = s.with(span{t, t})
	}
	for i := range f.Histograms {
		s = s.with(span{f.Histograms[i].T, f.Histograms[i].T})
	}
	return s // Nothing, if it has but exemplars or metadata: of these nobody asks for all.
}

// openGapLocked makes sure that the gap on disk begins at from or before.
func (q *queue) openGapLocked(from int64) error {
	if q.mu.known && q.mu.gap.from <= from {
		return nil
	}
	g := q.mu.gap
	if g.from = from; q.mu.known {
		g.from = min(g.from, q.mu.gap.from)
	}
	return q.writeGapLocked(g)
}

func (q *queue) writeGapLocked(g gapRecord) error {
	if err := q.outbox.db.Set(prefix(gapKey, q.peer), g.append(nil), pebble.NoSync); err != nil {
		return fmt.Errorf("write a gap: %w", err)
	}
	q.mu.gap, q.mu.known = g, true
	q.outbox.change()
	return nil
}

// loseLocked notes that the peer lacks what nobody keeps.
func (q *queue) loseLocked(s span) error {
	if s.empty() {
		return nil
	}
	q.mu.losses++
	g := q.mu.gap
	if !q.mu.known {
		g.from = s.from
	}
	g.lost = g.lost.with(s)
	return q.writeGapLocked(g)
}

// dropLocked deletes a segment.
func (q *queue) dropLocked(number uint64) error {
	for i, s := range q.mu.segments {
		if s.number != number {
			continue
		}
		k := segmentKey(q.peer, number)
		if err := q.outbox.db.DeleteRange(k, after(k), pebble.NoSync); err != nil {
			return err
		}
		if i == len(q.mu.segments)-1 {
			q.mu.open = nil
		}
		q.mu.segments = append(q.mu.segments[:i:i], q.mu.segments[i+1:]...)
		q.outbox.metrics.bytes.Sub(float64(s.bytes))
		break
	}
	if len(q.mu.segments) > 0 {
		return nil
	}
	return q.closeGapLocked()
}

// closeGapLocked is called when nothing is kept any more.
func (q *queue) closeGapLocked() error {
	if !q.mu.gap.lost.empty() {
		return q.writeGapLocked(gapRecord{from: q.mu.gap.lost.from, lost: q.mu.gap.lost})
	}
	if err := q.outbox.db.Delete(prefix(gapKey, q.peer), pebble.NoSync); err != nil {
		return err
	}
	q.mu.gap, q.mu.known = gapRecord{lost: nothing}, false
	q.outbox.change()
	return nil
}

func (q *queue) gaps() []Gap {
	q.mu.Lock()
	defer q.mu.Unlock()
	var gaps []Gap
	if len(q.mu.segments) > 0 {
		gaps = append(gaps, Gap{Peer: q.peer, From: q.mu.gap.from, Open: true})
	}
	if lost := q.mu.gap.lost; !lost.empty() {
		gaps = append(gaps, Gap{Peer: q.peer, From: lost.from, To: lost.to})
	}
	return gaps
}

func (q *queue) waiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.mu.segments) > 0
}

func (q *queue) loss() (Loss, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lost := q.mu.gap.lost
	return Loss{From: lost.from, To: lost.to, Number: q.mu.losses}, !lost.empty()
}

// repaired takes back what was lost, unless more was lost since.
func (q *queue) repaired(l Loss) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.losses != l.Number || q.mu.gap.lost != (span{l.From, l.To}) {
		return nil
	}
	q.mu.gap.lost = nothing
	if len(q.mu.segments) > 0 {
		return q.writeGapLocked(q.mu.gap)
	}
	return q.closeGapLocked()
}

func (q *queue) forget() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.gap.lost = nothing
	for len(q.mu.segments) > 0 {
		if err := q.dropLocked(q.mu.segments[0].number); err != nil {
			return err
		}
	}
	return q.closeGapLocked()
}
