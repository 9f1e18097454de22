package ruler

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/rules"
)

// Ruler is a node's part in the evaluation of rules. New, then Run once; the other methods may be called
// by any goroutine.
type Ruler struct {
	opts      Options
	metrics   *metrics
	turns     chan struct{}
	proposals chan proposal
	settings  atomic.Pointer[settings]
	// Both have room for one: settings have changed.
	applied, filesApplied chan struct{}

	mu     sync.Mutex
	parsed map[rules.Key]*parsed // groups of the ledger as they were read last
}

// settings are those in force; the pointer tells them from others.
type settings struct {
	Settings
	digest string // of the files
}

// parsed is what a text came to under some settings.
type parsed struct {
	edit     uint64
	settings *settings
	group    *rules.Group
	err      error
}

// New returns a Ruler that evaluates nothing yet.
func New(opts Options, s Settings) (*Ruler, error) {
	opts.EnsureDefaults()
	opts.Templates.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	r := &Ruler{
		opts: opts, metrics: newMetrics(opts.Registerer), turns: make(chan struct{}, opts.Concurrency),
		proposals: make(chan proposal, maxBatch), applied: make(chan struct{}, 1), filesApplied: make(chan struct{}, 1), parsed: map[rules.Key]*parsed{},
	}
	r.Apply(s)
	return r, nil
}

// Apply changes the settings. Groups whose text stays what it was keep all that is known of them.
func (r *Ruler) Apply(s Settings) {
	s.Rules.EnsureDefaults()
	r.settings.Store(&settings{Settings: s, digest: digest(s.Files)})
	for _, c := range []chan struct{}{r.applied, r.filesApplied} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Run evaluates the groups that are this node's, and while it leads gives groups to nodes, until ctx
// ends.
func (r *Ruler) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { r.agree(ctx) })
	parts.Go(func() { r.tellFiles(ctx) })
	parts.Go(func() { r.lead(ctx) })
	r.follow(ctx)
	parts.Wait()
	return nil
}

// running is a group that this node evaluates.
type running struct {
	lease, edit uint64
	settings    *settings
	stop        context.CancelFunc
	done        chan struct{} // closed when it has ended
	last        *runner       // then: the one that evaluated last, nil if none has
}

// follow runs the groups that are this node's.
func (r *Ruler) follow(ctx context.Context) {
	all := map[rules.Key]*running{}
	var ended sync.WaitGroup
	defer ended.Wait()
	for {
		reshaped := r.opts.Ledger.Reshaped()
		view, _ := r.opts.Ledger.View()
		for key, u := range all {
			if g := view.Group(key); g == nil || g.Owner != r.opts.Self {
				u.stop()
				delete(all, key)
				ended.Go(func() { r.leave(ctx, key, u, g == nil) })
			}
		}
		for _, g := range view.Groups {
			if g.Owner != r.opts.Self {
				continue
			}
			old, p := all[g.Key], r.parse(g)
			if old != nil && old.lease == g.Lease && old.edit == g.Edit && old.settings == p.settings {
				continue
			}
			all[g.Key] = r.start(ctx, &ended, g, p, old)
		}
		r.tidy(view)
		select {
		case <-ctx.Done():
			return
		case <-reshaped:
		case <-r.applied:
		}
	}
}

// start evaluates a group as soon as the one that did so before has ended.
func (r *Ruler) start(ctx context.Context, ended *sync.WaitGroup, g *ledger.Group, p *parsed, old *running) *running {
	ctx, stop := context.WithCancel(ctx)
	u := &running{lease: g.Lease, edit: g.Edit, settings: p.settings, stop: stop, done: make(chan struct{})}
	if old != nil {
		old.stop()
	}
	ended.Go(func() {
		defer close(u.done)
		defer stop()
		if old != nil {
			<-old.done
			u.last = old.last
		}
		view, _ := r.opts.Ledger.View() // Further on than when the old one was stopped.
		g := view.Group(g.Key)
		if p.err != nil || g == nil || g.Lease != u.lease || g.Edit != u.edit {
			return
		}
		fresh := old == nil || old.lease != u.lease
		next := r.newRunner(g, p, u.last)
		u.last = next
		next.run(ctx, fresh)
	})
	return u
}

// leave waits until a group is evaluated no more, and ends its series if it is no more.
func (r *Ruler) leave(ctx context.Context, key rules.Key, u *running, gone bool) {
	<-u.done
	r.metrics.forget(key.String())
	if gone && u.last != nil {
		u.last.end(ctx)
	}
}

// expander for the labels that are in force.
func (r *Ruler) expander(external labels.Labels) *alert.Expander {
	return &alert.Expander{External: external, URL: r.opts.ExternalURL, Query: r.opts.Query, Limits: r.opts.Templates, Logger: r.opts.Logger}
}

// parse reads a group's text, if it has not been read.
func (r *Ruler) parse(g *ledger.Group) *parsed {
	s := r.settings.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.parsed[g.Key]; p != nil && p.edit == g.Edit && p.settings == s {
		return p
	}
	p := &parsed{edit: g.Edit, settings: s}
	p.group, p.err = rules.Parse(g.Key.Namespace, rules.Text{Name: g.Key.Name, YAML: g.YAML}, s.Rules)
	if p.err != nil {
		r.opts.Logger.Error("A group of rules can't be read", "group", g.Key.String(), "err", p.err)
	}
	r.parsed[g.Key] = p
	return p
}

// tidy forgets what was read of groups that are no more.
func (r *Ruler) tidy(view *ledger.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.parsed, func(k rules.Key, _ *parsed) bool { return view.Group(k) == nil })
}
