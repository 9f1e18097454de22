package repair

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/barograph-db/barograph/cluster/durable"
)

const (
	// lookEvery is how often is looked for something to do.
	lookEvery = 10 * time.Second
	// roundPause is how many times as long as a step of a round took nothing is done.
	roundPause = 9
	// maxPause is how long that is at most.
	maxPause = time.Minute
)

// Repairer repairs the replicas of a node.
type Repairer struct {
	opts    Options
	metrics *metrics
	turn    chan struct{} // taken by who makes digests
	changed chan struct{}

	// Of Run alone.
	round round
	tried map[task]attempt

	// saving is held by who changes the state, before mu.
	saving sync.Mutex
	mu     struct {
		sync.Mutex
		state   *state
		tellers int
	}
}

// New returns a Repairer.
func New(opts Options) (*Repairer, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	r := &Repairer{
		opts: opts, turn: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		round: newRound(), tried: map[task]attempt{},
	}
	s, err := r.load()
	if err != nil {
		opts.Logger.Error("What is to be repaired could not be read: all is compared anew", "err", err)
		s = &state{Version: stateVersion}
	}
	r.mu.state = s
	r.metrics = newMetrics(opts.Registerer, r.passed, r.countGaps)
	return r, nil
}

// Gaps are those that this node knows of by itself.
func (r *Repairer) Gaps() []Gap {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.state.Gaps)
}

// Changed receives when Gaps are others than before.
func (r *Repairer) Changed() <-chan struct{} { return r.changed }

// Lacks says that this node has a gap, which it has from when this returns until it is repaired, also
// over restarts.
func (r *Repairer) Lacks(g Gap) error {
	r.opts.Logger.Warn("This node lacks samples of some time until they are repaired",
		"from", time.UnixMilli(g.From).UTC(), "to", time.UnixMilli(g.To).UTC(), "had_them", g.Forgot, "parts", g.Parts)
	return r.update(func(s *state) { s.Gaps = withGap(s.Gaps, g) })
}

// update changes the state, on disk too. In memory it is changed also when that fails.
func (r *Repairer) update(change func(*state)) error {
	r.saving.Lock()
	defer r.saving.Unlock()
	next := r.change(change)
	if err := durable.Replace(r.opts.FS, r.path(), next.encode()); err != nil {
		return fmt.Errorf("keep what is to be repaired: %w", err)
	}
	return nil
}

func (r *Repairer) change(change func(*state)) *state {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, next := r.mu.state, *r.mu.state
	change(&next) // It makes slices of its own.
	r.mu.state = &next
	if !slices.EqualFunc(next.Gaps, before.Gaps, equalGaps) {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}
	return &next
}

// Run repairs until ctx ends.
func (r *Repairer) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := r.opts.Changed()
		var pause time.Duration
		p := r.opts.Placement()
		switch {
		case p == nil:
			pause = math.MaxInt64
		case r.repairGaps(ctx, p):
		default:
			pause = r.step(ctx, p)
		}
		if pause > 0 {
			r.wait(ctx, changed, pause)
		}
	}
	return nil
}

// wait waits for so long, unless a gap becomes known. Without a placement it waits for one.
func (r *Repairer) wait(ctx context.Context, changed <-chan struct{}, pause time.Duration) {
	end := time.Now().Add(min(pause, maxPause))
	for {
		d := min(time.Until(end), lookEvery)
		if d <= 0 {
			return
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
			changed = r.opts.Changed()
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if p := r.opts.Placement(); p != nil && (pause == math.MaxInt64 || len(r.due(p)) > 0) {
			return
		}
	}
}

func (r *Repairer) calendar(now time.Time) calendar {
	r.mu.Lock()
	defer r.mu.Unlock()
	return calendar{now: now.UnixMilli(), keptFrom: r.opts.KeptFrom(now), compared: r.mu.state.Compared}
}

// passed is for the metric.
func (r *Repairer) passed() float64 {
	c := r.calendar(time.Now())
	if d, ok := c.pass(); ok {
		return d.Seconds()
	}
	return math.Inf(1)
}

func (r *Repairer) countGaps() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return float64(len(r.mu.state.Gaps) + r.mu.tellers)
}

// failed tells of something that is tried again.
func (r *Repairer) failed(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	r.metrics.failures.Inc()
	r.opts.Logger.Warn("Replicas could not be compared: it is tried again", "what", what, "err", err)
}
