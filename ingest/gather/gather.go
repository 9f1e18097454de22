package gather

import (
	"context"
	"sync"
	"time"

	"github.com/barograph-db/barograph/storage/frame"
)

const (
	// gatherTime is how long a batch waits for as many frames as there lately were at once, and enough is
	// how many bytes are not worth waiting for more.
	gatherTime = 5 * time.Millisecond
	enough     = 1 << 20
	// maxBytes bounds a batch, by what those who add say of their frames' sizes.
	maxBytes = 4 << 20
	// large is the number of samples from which a frame has nothing to gain from others.
	large = 4000
	// floatBytes is the memory of a float sample.
	floatBytes = 32
	// maxKept bounds the samples of a batch whose memory is used again.
	maxKept = 64 << 10
)

// Append is that of a store: it returns when the samples of f are stored, with those it refused, in
// the order of the frame. f may be reused then.
type Append = func(ctx context.Context, f *frame.Frame) ([]frame.Rejected, error)

// Done is told what became of a frame: what was refused, which it may keep, by places in that frame, or why
// none of it is known to be stored. It must not block. What it returns is called when all of the batch
// have been told, unless it is nil: whoever has several frames in it need be woken only once.
type Done = func(rejected []frame.Rejected, err error) (after func())

// Gatherer hands a store batches. A goroutine does so while there are any.
type Gatherer struct {
	append  Append
	metrics *metrics
	ready   chan struct{} // of one: the batch that gathers may be worth taking

	mu struct {
		sync.Mutex
		next  *batch
		spare *batch        // nil while it is at work
		busy  bool          // Somebody hands batches to the store.
		room  chan struct{} // Closed when next is taken; nil if nobody waits for it.
		out   int           // frames that are not answered
		crowd int           // how many there lately were at once
	}
}

// New returns a Gatherer for a store.
func New(store Append, opts Options) *Gatherer {
	g := &Gatherer{append: store, metrics: newMetrics(opts.Registerer), ready: make(chan struct{}, 1)}
	g.mu.next, g.mu.spare = &batch{}, &batch{}
	return g
}

// Add copies f, of about so many bytes, into the batch that gathers, and has done called once. It waits for
// room; an error says that ctx ended meanwhile, and done is not called.
func (g *Gatherer) Add(ctx context.Context, f *frame.Frame, bytes int, done Done) error {
	g.mu.Lock()
	for g.mu.next.bytes > 0 && g.mu.next.bytes+bytes > maxBytes {
		if err := g.waitLocked(ctx); err != nil {
			g.mu.Unlock()
			return err
		}
	}
	g.mu.next.add(f, bytes, done)
	g.mu.out++
	g.mu.crowd = max(g.mu.crowd, g.mu.out)
	begin, ready := !g.mu.busy, g.readyLocked()
	g.mu.busy = true
	g.mu.Unlock()
	if ready {
		select {
		case g.ready <- struct{}{}:
		default:
		}
	}
	if begin {
		go g.run()
	}
	return nil
}

// waitLocked waits until the batch that gathers is taken.
func (g *Gatherer) waitLocked(ctx context.Context) error {
	if g.mu.room == nil {
		g.mu.room = make(chan struct{})
	}
	room := g.mu.room
	g.mu.Unlock()
	defer g.mu.Lock()
	g.metrics.waits.Inc()
	select {
	case <-room:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Append is that of the store, for one that does not care for the order. If ctx ends first, what becomes of
// f is open.
func (g *Gatherer) Append(ctx context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	if n := len(f.Refs); n >= large || n < f.Samples() || len(f.Exemplars)+len(f.Metadata) > 0 {
		return g.append(ctx, f)
	}
	type answer struct {
		rejected []frame.Rejected
		err      error
	}
	answered := make(chan answer, 1)
	if err := g.Add(ctx, f, len(f.Refs)*floatBytes, func(rejected []frame.Rejected, err error) func() {
		answered <- answer{rejected, err}
		return nil
	}); err != nil {
		return nil, err
	}
	select {
	case a := <-answered:
		return a.rejected, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// run hands batches to the store until there is none.
func (g *Gatherer) run() {
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	for b := g.take(nil, timer); b != nil; b = g.take(b, timer) {
		g.metrics.frames.Add(float64(len(b.parts)))
		g.metrics.batches.Inc()
		// Frames of others are in it: none of their contexts is that of the batch.
		rejected, err := g.append(context.Background(), &b.frame)
		b.answer(rejected, err)
	}
}

// readyLocked reports whether nobody is worth waiting for.
func (g *Gatherer) readyLocked() bool {
	return len(g.mu.next.parts) >= g.mu.crowd || g.mu.next.bytes >= enough
}

// gatherMore waits until the batch that gathers is worth taking. It reports whether there is none.
func (g *Gatherer) gatherMore(timer *time.Timer) (idle bool) {
	timer.Reset(gatherTime)
	for {
		g.mu.Lock()
		ready := g.readyLocked()
		if g.mu.out == 0 {
			g.mu.busy = false
		}
		idle = !g.mu.busy
		g.mu.Unlock()
		if ready || idle {
			return idle
		}
		select {
		case <-g.ready: // Perhaps of the batch before.
		case <-timer.C:
			g.mu.Lock()
			g.mu.crowd = len(g.mu.next.parts)
			g.mu.Unlock()
			return false
		}
	}
}

// take takes the batch that gathers, nil if there is none, and the one that was at work back.
func (g *Gatherer) take(last *batch, timer *time.Timer) *batch {
	if last != nil {
		n := len(last.parts)
		last.reset()
		g.mu.Lock()
		g.mu.spare, g.mu.out = last, g.mu.out-n
		g.mu.Unlock()
	}
	if g.gatherMore(timer) {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.mu.next
	g.mu.next, g.mu.spare = g.mu.spare, nil
	if g.mu.room != nil {
		close(g.mu.room)
		g.mu.room = nil
	}
	return b
}
