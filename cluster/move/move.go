package move

import (
	"context"
	"time"

	"github.com/barograph-db/barograph/storage/series"
)

const (
	// lookEvery is how often is looked at what can't tell that it has changed.
	lookEvery = time.Second
	// firstWait and lastWait bound how long after a failure it is tried again; each waits twice as long as the one before.
	firstWait = time.Second
	lastWait  = 30 * time.Second
)

// Mover fills the replicas of a node.
type Mover struct {
	opts     Options
	metrics  *metrics
	progress Progress
}

// New returns a Mover.
func New(opts Options) (*Mover, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	return &Mover{opts: opts, metrics: newMetrics(opts.Registerer)}, nil
}

// Run fills one batch after the other until ctx ends.
func (m *Mover) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := m.opts.Changed()
		if all := filling(m.opts.Placement(), m.opts.Self); len(all) > 0 {
			f := &fill{Mover: m, width: day, wait: firstWait}
			f.begin(all)
			f.run(ctx)
			m.report(Progress{})
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}

func (m *Mover) report(p Progress) {
	m.metrics.filling.Set(float64(p.Shards))
	m.metrics.left.Set(float64(p.DaysLeft))
	if p != m.progress {
		m.progress = p
		m.opts.Report(p)
	}
}

// fill is the copying of one batch.
type fill struct {
	*Mover
	state *state
	width int64         // of the next stretch
	wait  time.Duration // after the next failure
	// settled is when copying may begin; zero: too few nodes know the epoch.
	settled        time.Time
	bytes, samples int64
}

// begin finds out how far the copy of what is to be filled has come.
func (f *fill) begin(all []replica) {
	s, err := f.load()
	if err != nil {
		f.opts.Logger.Error("How far a move has come could not be read: it begins anew", "err", err)
	}
	if s == nil || len(still(s.Replicas, all)) == 0 {
		s = f.fresh(all)
	} else {
		f.opts.Logger.Info("A move goes on", "shards", len(s.Replicas), "before", s.Before)
	}
	f.state = s
}

// fresh is the progress of a batch of which nothing is copied.
func (f *fill) fresh(all []replica) *state {
	_, lost := split(f.opts.Gaps())
	return &state{Version: stateVersion, Replicas: all, Before: everything, Lost: lost}
}

// run takes one step after the other until the batch is whole, or nothing of it is to be filled any more.
func (f *fill) run(ctx context.Context) {
	for ctx.Err() == nil {
		changed := f.opts.Changed()
		now := f.look()
		f.tell(len(now.batch))
		var err error
		switch decide(f.state, now, f.began(), f.copied()) {
		case over:
			return
		case anew:
			f.opts.Logger.Warn("A move begins anew: the copy may lack a write", "shards", len(now.batch), "lost", now.lost)
			f.metrics.anew.Inc()
			f.state, f.settled = f.fresh(now.batch), time.Time{}
			err = f.save(f.state)
		case waits:
			f.pause(ctx, changed, lookEvery)
			continue
		case copies:
			if f.settle(ctx, changed) {
				err = f.copy(ctx, now.batch)
			}
		case ends:
			if err = f.end(ctx, now.batch); err == nil {
				return
			}
		}
		f.after(ctx, err)
	}
}

// look is what counts for the next step.
func (f *fill) look() sight {
	s := sight{batch: still(f.state.Replicas, filling(f.opts.Placement(), f.opts.Self))}
	s.shut = f.began() || f.opts.ShutOut(epoch(s.batch), shardsOf(s.batch))
	s.open, s.lost = split(f.opts.Gaps())
	return s
}

// began reports whether all writes were known to come here, in this run of the process or before.
func (f *fill) began() bool { return !f.settled.IsZero() || f.state.Before != everything }

func (f *fill) copied() bool {
	return f.state.Before <= oldest(time.Now(), f.opts.Retention)
}

// settle reports whether copying may begin; if not, it has waited for a while.
func (f *fill) settle(ctx context.Context, changed <-chan struct{}) bool {
	if f.state.Before != everything { // It has begun before.
		return true
	}
	if f.settled.IsZero() {
		f.settled = time.Now().Add(f.opts.Settle)
	}
	left := time.Until(f.settled)
	if left > 0 {
		f.pause(ctx, changed, min(left, lookEvery))
	}
	return left <= 0
}

// copy copies the next stretch.
func (f *fill) copy(ctx context.Context, batch []replica) error {
	now := time.Now()
	mint, maxt, ok := stretch(f.state.Before, oldest(now, f.opts.Retention), now.UnixMilli(), f.width)
	if !ok {
		return nil
	}
	p := f.opts.Placement()
	s := Stretch{Shards: &series.ShardSet{Bits: p.Bits}, Mint: mint, Maxt: maxt}
	for _, r := range batch {
		s.Shards.Add(r.Shard)
	}
	before := f.bytes
	err := f.opts.Copy(ctx, s, func(bytes, samples int) error {
		f.bytes, f.samples = f.bytes+int64(bytes), f.samples+int64(samples)
		f.metrics.bytes.Add(float64(bytes))
		f.metrics.samples.Add(float64(samples))
		return f.opts.Throttle.Take(ctx, bytes)
	})
	f.width = resize(f.width, f.bytes-before, err != nil)
	if err != nil {
		return err
	}
	f.state.Before = mint
	return f.save(f.state)
}

// end has it agreed upon that the replicas are whole.
func (f *fill) end(ctx context.Context, batch []replica) error {
	if err := f.opts.Filled(ctx, shardsOf(batch)); err != nil {
		return err
	}
	f.metrics.shards.Add(float64(len(batch)))
	f.opts.Logger.Info("Shards have moved here", "shards", len(batch), "bytes", f.bytes, "samples", f.samples)
	return nil
}

// after waits after a failure, the longer the more there were.
func (f *fill) after(ctx context.Context, err error) {
	if err == nil {
		f.wait = firstWait
		return
	}
	if ctx.Err() != nil {
		return
	}
	f.metrics.failures.Inc()
	f.opts.Logger.Warn("A move waits and is tried again", "shards", len(f.state.Replicas), "before", f.state.Before, "err", err)
	f.pause(ctx, nil, f.wait)
	f.wait = min(2*f.wait, lastWait)
}

// pause waits for a change, but for so long at most.
func (f *fill) pause(ctx context.Context, changed <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (f *fill) tell(shards int) {
	now := time.Now()
	p := Progress{Shards: shards, Bytes: f.bytes, Samples: f.samples}
	p.DaysDone, p.DaysLeft = days(f.state.Before, oldest(now, f.opts.Retention), now.UnixMilli())
	f.report(p)
}
