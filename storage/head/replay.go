package head

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/barograph-db/barograph/storage/frame"
)

// Replay takes in the frames of a log, in their order. Who reads the log fills a group of them while
// workers put the samples of the one before in, each those of its own pages, so that the samples of
// a series stay in order. Its methods are one goroutine's to call, and nothing else may be under way
// in the head.
//
// One scrape of all series meets more memory than the caches hold, and so does the next. A group has
// several, and all that a page gets of them is put in at a time, series by series.
type Replay struct {
	head    *Head
	workers []chan *group
	running sync.WaitGroup
	pending sync.WaitGroup // groups that are not put in yet
	next    *replayed      // to be filled
	filling *group
	free    chan *group
}

// group is some frames on their way through the workers.
type group struct {
	frames  []*replayed // Behind the first n is memory for later ones.
	n       int
	floats  int      // their size
	places  []uint32 // 0, 1, ... up to the longest frame
	shelves []shelf  // by worker
	left    atomic.Int32
}

// replayed is a frame of a group.
type replayed struct {
	frame.Frame
	keep func(t int64) bool
}

// A group is full when it has so many samples or frames. There are two, of some 15 MB each.
const (
	groupFloats = 512 << 10
	groupFrames = 4096
	// histogramFloats is the number of floats that take as much memory as a histogram.
	histogramFloats = 16
)

// NewReplay begins a replay with so many workers. Close must follow.
func (h *Head) NewReplay(workers int) *Replay {
	r := &Replay{head: h, next: &replayed{}, free: make(chan *group, 2)}
	r.filling = &group{shelves: make([]shelf, workers)}
	r.free <- &group{shelves: make([]shelf, workers)}
	for i := range workers {
		work := make(chan *group, 1)
		r.workers = append(r.workers, work)
		r.running.Go(func() { r.work(i, work) })
	}
	return r
}

// Close waits until all frames are put in.
func (r *Replay) Close() {
	r.dispatch()
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
	f := r.next
	if err := fill(&f.Frame); err != nil {
		return err
	}
	if err := r.take(&f.Frame); err != nil {
		return err
	}
	if len(f.Refs)+len(f.Histograms) == 0 {
		return nil
	}
	f.keep = keep
	g := r.filling
	if g.n == len(g.frames) {
		g.frames = append(g.frames, &replayed{})
	}
	g.frames[g.n], r.next = f, g.frames[g.n]
	g.divide(uint16(g.n), len(*r.head.pages.Load()))
	g.n++
	g.floats += len(f.Refs) + histogramFloats*len(f.Histograms)
	if g.floats >= groupFloats || g.n >= groupFrames {
		r.dispatch()
	}
	return nil
}

// take does what is not the workers'.
func (r *Replay) take(f *frame.Frame) error {
	if len(f.Times) != len(f.Refs) || len(f.Values) != len(f.Refs) ||
		len(f.Starts) != 0 && len(f.Starts) != len(f.Refs) {
		return fmt.Errorf("replay a frame of %d refs, %d times, %d values and %d starts",
			len(f.Refs), len(f.Times), len(f.Values), len(f.Starts))
	}
	if len(f.Series) > 0 {
		r.dispatch()
		r.pending.Wait() // A definition may move a series.
		if err := r.head.define(f.Series); err != nil {
			return err
		}
	}
	if len(f.Exemplars) > 0 {
		b := r.head.newBatch(f)
		b.exemplars(r.head.alive)
		b.finish()
	}
	r.head.metadata.put(f.Metadata)
	return nil
}

// divide gives each worker the samples of its pages.
func (g *group) divide(number uint16, pages int) {
	f := g.frames[number]
	odd := f.keep != nil || len(f.Starts) > 0
	for i := 0; i < len(f.Refs); {
		page, from := f.Refs[i].Index()/pageSeries, i
		for i++; i < len(f.Refs) && f.Refs[i].Index()/pageSeries == page; i++ {
		}
		g.shelve(page, pages, run{from: uint32(from), to: uint32(i), frame: number}, odd)
	}
	for i := range f.Histograms {
		page := f.Histograms[i].Ref.Index() / pageSeries
		g.shelve(page, pages, run{from: uint32(i), to: uint32(i + 1), frame: number, histograms: true}, true)
	}
	for len(g.places) < len(f.Refs) {
		g.places = append(g.places, uint32(len(g.places)))
	}
}

// shelve passes over what there is no page for.
func (g *group) shelve(page uint32, pages int, r run, odd bool) {
	if int(page) < pages {
		g.shelves[page%uint32(len(g.shelves))].add(page, pages, r, odd)
	}
}

// dispatch hands the group that was filled to the workers, and begins the next when there is one.
func (r *Replay) dispatch() {
	g := r.filling
	if g.n == 0 {
		return
	}
	r.pending.Add(1)
	g.left.Store(int32(len(r.workers)))
	for _, w := range r.workers {
		w <- g
	}
	r.filling = <-r.free
	r.filling.n, r.filling.floats = 0, 0
}

func (r *Replay) work(i int, groups <-chan *group) {
	var s sorter
	for g := range groups {
		b := r.head.newBatch(&g.frames[0].Frame)
		b.hasty = true
		for _, number := range g.shelves[i].used {
			if p := r.head.page(number * pageSeries); p == nil {
				continue
			} else if g.shelves[i].lists[number].odd {
				b.replayInOrder(p, g, g.shelves[i].of(number))
			} else {
				b.replaySorted(p, &s, g, g.shelves[i].of(number))
			}
		}
		b.finish()
		g.shelves[i].clear()
		if g.left.Add(-1) == 0 {
			r.free <- g
			r.pending.Done()
		}
	}
}
