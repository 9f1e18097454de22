package router

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/quorum"
	"github.com/barograph-db/barograph/storage/frame"
)

// write is the account of one Append. It belongs to its holders: Append, and each Sender that has not
// called done. The last one to let go puts it back.
type write struct {
	router  *Router
	routes  *routes
	frame   *frame.Frame // the caller's
	epoch   uint32       // the current one
	holders atomic.Int32
	wake    chan struct{} // told when it is no longer pending, and of answers after that
	patient *time.Timer   // made when it is first waited for

	deal    deal
	own     own
	targets []*target
	byNode  []*target // nil: it gets nothing
	spare   []*target

	mu struct {
		sync.Mutex
		state quorum.State // Begun and used before anyone else has the write.
		left  int          // targets that have not answered
		// out says that a node takes no more writes by this placement, by which one.
		out   bool
		outBy uint16
		// closed says that Append has seen all that it will. What it saw of targets does not change
		// any more.
		closed bool
	}
}

// target is a node and what it is to get.
type target struct {
	write *write
	node  uint16
	done  func([]frame.Rejected, error) // made once, for all writes

	frame      frame.Frame // of router refs
	floats     int
	histograms []frame.Histogram // memory for those of frame
	exemplars  []frame.Exemplar
	metadata   []frame.Metadata

	// Under the write's lock until that is closed.
	answered bool
	rejected []frame.Rejected
	err      error
}

func newWrite(r *Router) *write { return &write{router: r, wake: make(chan struct{}, 1)} }

func (w *write) begin(routes *routes, f *frame.Frame, now uint32) {
	w.routes, w.frame, w.epoch = routes, f, now
	w.holders.Store(1)
	w.mu.closed, w.mu.out = false, false
	w.mu.state.Begin(routes.table)
	if n := len(routes.table.Placement().Nodes); len(w.byNode) < n {
		w.byNode = make([]*target, n)
	}
}

// target of a node, which is made if need be.
func (w *write) target(node uint16) *target {
	if t := w.byNode[node]; t != nil {
		return t
	}
	var t *target
	if last := len(w.spare) - 1; last >= 0 {
		t = w.spare[last]
		w.spare = w.spare[:last]
	} else {
		t = &target{write: w}
		t.done = func(rejected []frame.Rejected, err error) {
			t.write.answer(t, rejected, err)
			t.write.release()
		}
	}
	t.node = node
	w.targets, w.byNode[node] = append(w.targets, t), t
	return t
}

// send hands the other nodes their parts.
func (w *write) send() {
	nodes := w.routes.table.Placement().Nodes
	w.mu.left = len(w.targets)
	for _, t := range w.targets {
		if int(t.node) == w.routes.self {
			continue
		}
		w.router.metrics.remote.sent(&t.frame)
		sender, ok := w.router.opts.Reach(nodes[t.node].ID)
		if !ok {
			w.answer(t, nil, errUnreachable)
			continue
		}
		w.holders.Add(1)
		if err := sender.Send(&t.frame, t.done); err != nil {
			w.answer(t, nil, err)
			w.holders.Add(-1) // Append holds it still.
		}
	}
}

// sendOwn gives this node its part.
func (w *write) sendOwn(ctx context.Context) {
	if w.routes.self < 0 || w.byNode[w.routes.self] == nil {
		return
	}
	t := w.byNode[w.routes.self]
	w.router.metrics.local.sent(&t.frame)
	rejected, err := w.own.append(ctx, w.router, &t.frame)
	w.answer(t, rejected, err)
}

// unknown tells a sample that a node lacks from one that it judged.
func unknown(r frame.Rejected) bool { return r.Reason == frame.UnknownRef }

// answer takes what a node says.
func (w *write) answer(t *target, rejected []frame.Rejected, err error) {
	m := &w.router.metrics.remote
	if int(t.node) == w.routes.self {
		m = &w.router.metrics.local
	}
	if err == nil && slices.ContainsFunc(rejected, unknown) {
		err = errUnknown
	}
	out := false
	if err != nil {
		m.failures.Inc()
		out = w.router.opts.Stale != nil && w.router.opts.Stale(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed {
		return
	}
	if out {
		w.mu.out, w.mu.outBy = true, t.node
	}
	w.mu.left--
	t.answered, t.rejected, t.err = true, rejected, err
	answer := w.mu.state.Ack
	if err != nil {
		answer = w.mu.state.Fail
	}
	if answer(t.node) != quorum.Pending || out {
		select {
		case w.wake <- struct{}{}:
		default: // It has been told.
		}
	}
}

// shutOut reports whether a node takes no more writes by this placement.
func (w *write) shutOut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.out
}

// outBy is the node that says so.
func (w *write) outBy() uint16 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.outBy
}

// wait returns when all nodes have answered, or the outcome is known and those that have not are not
// worth waiting for, or when ctx ends; with orOut also when a node shuts the write out.
func (w *write) wait(ctx context.Context, orOut bool) {
	if w.over(false, orOut) {
		return
	}
	began, patience := time.Now(), w.router.opts.Patience
	if w.patient == nil {
		w.patient = time.NewTimer(patience)
	} else {
		w.patient.Reset(patience)
	}
	defer w.patient.Stop()
	for late := false; !w.over(late, orOut); {
		select {
		case <-w.wake:
		case <-w.patient.C:
			late = true
		case <-ctx.Done():
			return
		}
	}
	w.router.metrics.wait.Observe(time.Since(began).Seconds())
}

// over reports whether there is nothing more to wait for.
func (w *write) over(late, orOut bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	outcome := w.mu.state.Outcome()
	return orOut && w.mu.out || outcome == quorum.Impossible || w.mu.left == 0 || late && outcome == quorum.Done
}

// finish closes the account and says what came of the write. The caller's frame is not looked at after it.
func (w *write) finish(ctx context.Context) ([]frame.Rejected, error) {
	outcome := w.close()
	if outcome != quorum.Done {
		return nil, w.refuse(ctx, outcome)
	}
	for _, t := range w.targets {
		if !t.answered || t.err != nil {
			if err := w.router.missed(w, t); err != nil {
				w.router.metrics.unkept.Inc()
				return nil, &ingest.Error{Reason: ingest.StoreUnavailable, Err: fmt.Errorf("%s may lack samples: %w", w.routes.table.Name(t.node), err)}
			}
		}
	}
	w.router.metrics.done.Inc()
	return w.rejected(), nil
}

// close makes all answers from now on late ones.
func (w *write) close() quorum.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	outcome := w.mu.state.Outcome()
	w.mu.closed = true
	return outcome
}

// refuse counts a write that was not acknowledged, and says why it was not.
func (w *write) refuse(ctx context.Context, outcome quorum.Outcome) error {
	e := &QuorumError{Why: w.mu.state.Why()}
	if outcome == quorum.Pending {
		w.router.metrics.canceled.Inc()
		e.Err = context.Cause(ctx)
	} else {
		w.router.metrics.impossible.Inc()
	}
	nodes := w.routes.table.Placement().Nodes
	for _, t := range w.targets {
		if t.answered && t.err != nil {
			e.Failures = append(e.Failures, Failure{Node: nodes[t.node].ID, Name: w.routes.table.Name(t.node), Err: t.err})
		}
	}
	return &ingest.Error{Reason: ingest.StoreUnavailable, Err: e}
}

// missed tells of a frame that is going to be acknowledged and that a node lacks, or may lack.
func (r *Router) missed(w *write, t *target) error {
	r.metrics.missed.Inc()
	if r.opts.Missed == nil {
		return nil
	}
	f := &t.frame
	f.Sender, f.Seq, f.Series = 0, 0, nil // A Sender may have set them.
	return r.opts.Missed(w.routes.table.Placement().Nodes[t.node].ID, f, r.Labels)
}

// release lets go of the write.
func (w *write) release() {
	if w.holders.Add(-1) > 0 {
		return
	}
	select {
	case <-w.wake:
	default:
	}
	for _, t := range w.targets {
		w.byNode[t.node] = nil
		t.clear()
	}
	w.spare, w.targets = append(w.spare, w.targets...), w.targets[:0]
	w.frame, w.routes = nil, nil
	w.own.clear()
	if w.deal.small() && cap(w.own.frame.Refs) <= maxPooled {
		w.router.writes.Put(w)
	}
}

// clear lets go of what others own.
func (t *target) clear() {
	clear(t.histograms)
	clear(t.exemplars)
	clear(t.metadata)
	t.histograms, t.exemplars, t.metadata = t.histograms[:0], t.exemplars[:0], t.metadata[:0]
	if cap(t.histograms)+cap(t.exemplars)+cap(t.metadata) > maxPooledRest {
		t.histograms, t.exemplars, t.metadata = nil, nil, nil
	}
	t.frame, t.floats = frame.Frame{}, 0
	t.answered, t.rejected, t.err = false, nil, nil
}
