package notify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// Notifier tells Alertmanagers of alerts. New, then Run once; the other methods may be called by any
// goroutine, before Run too: what is sent then waits.
type Notifier struct {
	opts    Options
	metrics *metrics
	parts   sync.WaitGroup // of Run
	changed chan struct{}  // has room for one: a sender lingers
	routes  atomic.Pointer[routes]

	applying sync.Mutex // held by Apply; taken before mu
	mu       struct {
		sync.Mutex
		ctx             context.Context // Run's; nil before it and after its end
		external        labels.Labels
		relabel         []*relabel.Config
		sets            []*set
		senders         map[place]*running
		active, dropped []string
		invalid         map[string]bool // errors that have been logged
	}
}

// place is what an Alertmanager is known by. If several sets lead to the same URL, whose alerts they may
// relabel differently, the second has the number 1, and so on.
type place struct {
	url string
	nth int
}

// running is a sender and what is known of it.
type running struct {
	*sender
	stop   context.CancelFunc // nil while it does not run
	gone   bool               // it is found no more
	goneAt time.Time
}

// routes say where alerts go to.
type routes struct {
	external   labels.Labels
	relabel    []*relabel.Config
	sets       []route
	configured bool // there are sets
}

type route struct {
	relabel []*relabel.Config
	senders []*sender
}

// New returns a Notifier that knows no Alertmanager yet.
func New(opts Options) (*Notifier, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts.EnsureDefaults()
	n := &Notifier{opts: opts, metrics: newMetrics(opts.Registerer, opts.QueueSize), changed: make(chan struct{}, 1)}
	n.mu.senders = map[place]*running{}
	n.routes.Store(&routes{})
	return n, nil
}

// Send queues alerts for all Alertmanagers. It does not wait for any.
func (n *Notifier) Send(alerts []Alert) {
	r := n.routes.Load()
	now := time.Now()
	var all []*entry
	for _, a := range alerts {
		if a, ok := relabelled(a, r.external, r.relabel); ok {
			all = append(all, newEntry(a, now))
		}
	}
	if len(all) == 0 {
		return
	}
	addressed := false
	for _, to := range r.sets {
		addressed = addressed || len(to.senders) > 0
		entries := to.entries(all, now)
		for _, s := range to.senders {
			s.add(entries)
		}
	}
	if r.configured && !addressed {
		n.metrics.unaddressed.Add(float64(len(all)))
	}
}

// entries are those that the set's own relabelling leaves.
func (r *route) entries(all []*entry, now time.Time) []*entry {
	if len(r.relabel) == 0 {
		return all
	}
	var left []*entry
	for _, e := range all {
		if a, ok := relabelled(e.alert, labels.EmptyLabels(), r.relabel); ok {
			left = append(left, newEntry(a, now))
		}
	}
	return left
}

// Alertmanagers returns the URLs of those that alerts are sent to, and of those that relabelling dropped.
func (n *Notifier) Alertmanagers() (active, dropped []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.mu.active), slices.Clone(n.mu.dropped)
}

// Run sends until ctx ends, and then for up to 2 seconds what waits.
func (n *Notifier) Run(ctx context.Context) error {
	n.mu.Lock()
	n.mu.ctx = ctx
	for _, s := range n.mu.sets {
		n.searchLocked(s)
	}
	for _, r := range n.mu.senders {
		n.sendLocked(r)
	}
	n.mu.Unlock()

	timer := time.NewTimer(linger)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-n.changed:
			timer.Reset(n.retire(time.Now()))
		case <-timer.C:
			timer.Reset(n.retire(time.Now()))
		}
	}

	n.mu.Lock()
	n.mu.ctx = nil
	sets := n.mu.sets
	n.mu.Unlock()
	n.parts.Wait()
	for _, s := range sets {
		s.client.CloseIdleConnections()
	}
	return nil
}

// retire stops senders that have lingered, and returns when to look again.
func (n *Notifier) retire(now time.Time) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := time.Hour
	for at, r := range n.mu.senders {
		if !r.gone {
			continue
		}
		if left := linger - now.Sub(r.goneAt); left > 0 {
			next = min(next, left)
			continue
		}
		delete(n.mu.senders, at)
		if r.stop != nil {
			r.stop()
		}
	}
	return next
}

// sendLocked starts a sender, if Run is at work.
func (n *Notifier) sendLocked(r *running) {
	if n.mu.ctx == nil || n.mu.ctx.Err() != nil || r.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(n.mu.ctx)
	r.stop = stop
	n.parts.Go(func() {
		defer stop()
		r.run(ctx)
	})
}

// routeLocked brings senders in line with what has been found, and lets Send know.
func (n *Notifier) routeLocked() {
	r := &routes{external: n.mu.external, relabel: n.mu.relabel, configured: len(n.mu.sets) > 0}
	found := map[place]bool{}
	invalid := map[string]bool{}
	ignored := 0
	n.mu.active, n.mu.dropped = nil, nil
	for _, s := range n.mu.sets {
		t := s.targets()
		n.mu.dropped = append(n.mu.dropped, t.dropped...)
		for _, err := range t.invalid {
			if invalid[err.Error()] = true; !n.mu.invalid[err.Error()] {
				n.opts.Logger.Error("A discovered Alertmanager can't be used", "err", err)
			}
		}
		to := route{relabel: s.config.AlertRelabelConfigs}
		for _, url := range t.active {
			if len(found) == n.opts.MaxAlertmanagers {
				ignored++
				continue
			}
			at := place{url: url}
			for found[at] {
				at.nth++
			}
			found[at] = true
			n.mu.active = append(n.mu.active, url)
			to.senders = append(to.senders, n.senderLocked(at, s))
		}
		r.sets = append(r.sets, to)
	}
	n.mu.invalid = invalid
	n.metrics.discovered.Set(float64(len(found)))
	n.metrics.ignored.Set(float64(ignored))
	n.routes.Store(r)
	n.lingerLocked(found)
}

// senderLocked is the one at a place, with the set's settings.
func (n *Notifier) senderLocked(at place, s *set) *sender {
	r := n.mu.senders[at]
	if r == nil {
		r = &running{sender: newSender(at.url, &n.opts, n.metrics.of(at.url))}
		n.mu.senders[at] = r
	}
	r.gone = false
	r.target.Store(&target{client: s.client, timeout: time.Duration(s.config.Timeout)})
	n.sendLocked(r)
	return r.sender
}

// lingerLocked notes which senders are found no more.
func (n *Notifier) lingerLocked(found map[place]bool) {
	for at, r := range n.mu.senders {
		if found[at] || r.gone {
			continue
		}
		r.gone, r.goneAt = true, time.Now()
		select {
		case n.changed <- struct{}{}:
		default:
		}
	}
}

// Apply changes the settings; nil is none. With an error nothing has changed.
func (n *Notifier) Apply(c *Config, external labels.Labels) error {
	if c == nil {
		c = &Config{}
	}
	n.applying.Lock()
	defer n.applying.Unlock()
	n.mu.Lock()
	old := n.mu.sets
	n.mu.Unlock()

	sets := make([]*set, len(c.Alertmanagers))
	taken := map[*search]bool{}
	for i, sc := range c.Alertmanagers {
		var err error
		if sets[i], err = newSet(sc, old, taken, &n.opts); err != nil {
			return fmt.Errorf("alertmanagers, entry %d: %w", i+1, err)
		}
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.external, n.mu.relabel, n.mu.sets = external, c.AlertRelabelConfigs, sets
	for _, s := range old {
		s.leave(taken)
	}
	for _, s := range sets {
		n.searchLocked(s)
	}
	n.routeLocked()
	return nil
}
