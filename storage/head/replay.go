package head

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/barograph-db/barograph/storage/frame"
)

// Replay takes in the frames of a log, in their order. Who reads the log fills one while workers put
// the samples of those before in, each those of its own pages, so that the samples of a series stay
// in order. Its methods are one goroutine's to call, and nothing else may be under way in the head.
type Replay struct {
	head    *Head
	workers []chan *replayed
	running sync.WaitGroup
	pending sync.WaitGroup // frames that are not put in yet
	free    chan *replayed
}

// replayed is a frame on its way through the workers.
type replayed struct {
	frame.Frame
	keep  func(t int64) bool
	parts []part // by worker
	left  atomic.Int32
}

// part is what of a frame is one worker's.
type part struct {
	floats, histograms []uint32
	scattered          bool
}

// framesAhead bounds the frames that wait for each worker.
const framesAhead = 8

// NewReplay begins a replay with so many workers. Close must follow.
func (h *Head) NewReplay(workers int) *Replay {
	r := &Replay{head: h, free: make(chan *replayed, workers*framesAhead)}
	for range cap(r.free) {
		r.free <- &replayed{parts: make([]part, workers)}
	}
	for i := range workers {
		work := make(chan *replayed, framesAhead*workers)
		r.workers = append(r.workers, work)
		r.running.Go(func() { r.work(i, work) })
	}
	return r
}

// Close waits until all frames are put in.
func (r *Replay) Close() {
	for _, w := range r.workers {
		close(w)
	}
	r.running.Wait()
}

// Frame puts in what fill fills a frame with, or will have done so when Close returns. Its series
// are defined under exactly their references first. keep says for a timestamp whether it is still
// wanted; nil is all. What is not taken, because its series is gone, was flushed or is in the log
// again under another reference. Label bytes in the frame need be valid during the call only.
func (r *Replay) Frame(fill func(*frame.Frame) error, keep func(t int64) bool) error {
	f := <-r.free
	f.keep = keep
	err := fill(&f.Frame)
	if err == nil {
		err = r.take(f)
	}
	if err != nil {
		r.free <- f
		return err
	}
	r.divide(f)
	return nil
}

// take does what is not the workers'.
func (r *Replay) take(f *replayed) error {
	if len(f.Times) != len(f.Refs) || len(f.Values) != len(f.Refs) ||
		len(f.Starts) != 0 && len(f.Starts) != len(f.Refs) {
		return fmt.Errorf("replay a frame of %d refs, %d times, %d values and %d starts",
			len(f.Refs), len(f.Times), len(f.Values), len(f.Starts))
	}
	if len(f.Series) > 0 {
		r.pending.Wait() // A definition may move a series.
		if err := r.head.define(f.Series); err != nil {
			return err
		}
	}
	if len(f.Exemplars) > 0 {
		b := r.head.newBatch(&f.Frame)
		b.exemplars(r.head.alive)
		b.finish()
	}
	r.head.metadata.put(f.Metadata)
	return nil
}

// divide gives each worker the samples of its pages.
func (r *Replay) divide(f *replayed) {
	n := uint32(len(r.workers))
	for i := range f.parts {
		p := &f.parts[i]
		p.floats, p.histograms = p.floats[:0], p.histograms[:0]
	}
	runs := 0
	for i := 0; i < len(f.Refs); {
		number := f.Refs[i].Index() / pageSeries
		p := &f.parts[number%n]
		for ; i < len(f.Refs) && f.Refs[i].Index()/pageSeries == number; i++ {
			p.floats = append(p.floats, uint32(i))
		}
		runs++
	}
	for i := range f.Histograms {
		p := &f.parts[f.Histograms[i].Ref.Index()/pageSeries%n]
		p.histograms = append(p.histograms, uint32(i))
	}
	left := int32(0)
	for i := range f.parts {
		p := &f.parts[i]
		p.scattered = runs*goodRun > len(f.Refs)
		if len(p.floats)+len(p.histograms) > 0 {
			left++
		}
	}
	if left == 0 {
		r.free <- f
		return
	}
	f.left.Store(left)
	r.pending.Add(1)
	for i, w := range r.workers {
		if p := &f.parts[i]; len(p.floats)+len(p.histograms) > 0 {
			w <- f
			if left--; left == 0 {
				return // f may be someone else's already.
			}
		}
	}
}

func (r *Replay) work(i int, frames <-chan *replayed) {
	for f := range frames {
		p := &f.parts[i]
		b := r.head.newBatch(&f.Frame)
		b.keep, b.scattered = f.keep, p.scattered
		b.floats(p.floats)
		for _, h := range p.histograms {
			b.histogram(int(h))
		}
		b.finish()
		if f.left.Add(-1) == 0 {
			r.free <- f
			r.pending.Done()
		}
	}
}
