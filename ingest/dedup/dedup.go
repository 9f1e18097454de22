package dedup

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	// proposing is how long a batch may wait for an election.
	proposing = 2 * time.Second
	// pause after a proposal that failed, before the next for the same pair: batches do not all wait.
	pause = time.Second
	// attempts at an election in one batch; each time another term was in force, which is news.
	attempts = 3
	// ownLabels is how many clusters have counters of their own.
	ownLabels = 100
)

// Elections is the ingest.Elector of HA pairs.
type Elections struct {
	opts     Options
	settings atomic.Pointer[Settings]
	table    *Table
	origins  *origins
	metrics  *metrics
	due      chan struct{} // there is something to tell others

	mu struct {
		sync.Mutex
		views  map[string]*view
		labels map[string]string // of metrics, by cluster
	}
}

// view is what this node knows of a pair besides the Table.
type view struct {
	ahead   term          // what a proposal answered, until the Table has it
	replica string        // the elected one that heard and newest are of
	heard   int64         // milliseconds; when this node heard it
	newest  int64         // the newest timestamp that this node took of it
	busy    chan struct{} // closed when the proposal under way has ended
	retry   int64         // no other proposal before
	refused *ingest.Error // why the last one came to nothing
}

// New returns Elections over a Table that Options.Propose applies commands to.
func New(table *Table, opts Options) (*Elections, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.Propose == nil {
		return nil, errors.New("there is nobody to propose to")
	}
	e := &Elections{opts: opts, table: table, origins: newOrigins(maxOrigins), due: make(chan struct{}, 1)}
	e.settings.Store(&opts.Settings)
	e.mu.views, e.mu.labels = map[string]*view{}, map[string]string{}
	e.metrics = newMetrics(opts.Registerer, e)
	return e, nil
}

// Set changes the settings.
func (e *Elections) Set(s Settings) error {
	s.EnsureDefaults()
	if err := s.Validate(); err != nil {
		return err
	}
	e.settings.Store(&s)
	return nil
}

// Origin implements ingest.Elector.
func (e *Elections) Origin(pairs []series.Pair) ([]series.Pair, ingest.Origin, error) {
	cluster, replica := -1, -1
	for i, p := range pairs {
		at := &cluster
		switch string(p.Name) {
		case e.opts.ClusterLabel:
		case e.opts.ReplicaLabel:
			at = &replica
		default:
			continue
		}
		if *at >= 0 {
			return pairs, 0, ingest.Errorf(ingest.DuplicateLabel, "label %q", p.Name)
		}
		*at = i
	}
	if cluster < 0 || replica < 0 || len(pairs[cluster].Value) == 0 || len(pairs[replica].Value) == 0 {
		return pairs, 0, nil
	}
	pair, name := pairs[cluster].Value, pairs[replica].Value
	for _, i := range []int{cluster, replica} {
		if n := len(pairs[i].Value); n > maxText {
			return pairs, 0, ingest.Errorf(ingest.LabelValueTooLong, "%d bytes in label %q, of an HA pair, the limit is %d", n, pairs[i].Name, maxText)
		}
	}
	pairs[replica] = pairs[len(pairs)-1]
	pairs = pairs[:len(pairs)-1]
	if n, ok := e.origins.find(pair, name); ok {
		return pairs, n, nil
	}
	n, forgotten := e.origins.number(sender{string(pair), string(name)})
	if forgotten {
		e.metrics.recycled.Inc()
	}
	return pairs, n, nil
}

// Judge implements ingest.Elector.
func (e *Elections) Judge(ctx context.Context, o ingest.Origin) ingest.Verdict {
	s, ok := e.origins.sender(o)
	if !ok {
		return ingest.Verdict{}
	}
	set := e.settings.Load()
	for range attempts {
		t, act, wait := e.look(s, set)
		switch {
		case act == take:
			return ingest.Verdict{Known: true, After: t.after}
		case act == leave:
			return ingest.Verdict{Known: true, After: ingest.NoSamples}
		case wait == nil:
			return e.undecided(s, t)
		}
		if !wait(ctx) {
			return e.undecided(s, t)
		}
	}
	return ingest.Verdict{Known: true, Refused: ingest.Errorf(ingest.NotElected, "pair %q changes too often", s.pair)}
}

// undecided is the verdict when a term is over and no other can be agreed upon: the elected replica goes on.
func (e *Elections) undecided(s sender, t term) ingest.Verdict {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t.seq == 0 || t.replica != s.replica {
		why := ingest.Errorf(ingest.NotElected, "replica %q of pair %q", s.replica, s.pair)
		if v := e.mu.views[s.pair]; v != nil && v.refused != nil {
			why = v.refused
		}
		return ingest.Verdict{Known: true, Refused: why}
	}
	e.metrics.without.Inc()
	e.noteLocked(s, time.Now().UnixMilli(), math.MinInt64)
	e.tell()
	return ingest.Verdict{Known: true, After: t.after}
}

// look judges by what is known. If somebody is to be elected it returns how to wait for that, which
// reports whether it is worth to look again; nil, if it was tried a moment ago without success.
func (e *Elections) look(s sender, set *Settings) (t term, act action, wait func(context.Context) bool) {
	now := time.Now().UnixMilli()
	e.mu.Lock()
	defer e.mu.Unlock()
	v, t := e.viewLocked(s.pair)
	act = t.judge(s.replica, v.heard, now, set.Failover.Milliseconds())
	switch {
	case act == take:
		e.noteLocked(s, now, math.MinInt64)
		if now-t.heard >= set.Update.Milliseconds() {
			e.tell()
		}
	case act == leave:
	case v.busy != nil:
		busy := v.busy
		wait = func(ctx context.Context) bool {
			select {
			case <-busy:
				return true
			case <-ctx.Done():
				return false
			}
		}
	case now >= v.retry || v.retry > now+pause.Milliseconds():
		v.busy = make(chan struct{})
		c := command{elect: election{
			pair: s.pair, replica: s.replica, seq: t.seq, at: now,
			after: t.bound(v.newest, now, (set.Update + slack).Milliseconds()), most: uint64(set.MaxClusters),
		}}
		wait = func(ctx context.Context) bool { return e.elect(ctx, v, c) }
	}
	return t, act, wait
}

// viewLocked returns the view of a pair and its term, brought up to date with the Table.
func (e *Elections) viewLocked(pair string) (*view, term) {
	v, t := e.mu.views[pair], e.table.get(pair)
	if v == nil {
		if len(e.mu.views) >= 2*maxPairs {
			e.forgetLocked()
		}
		v = &view{}
		e.mu.views[pair] = v
	}
	if v.ahead.seq > t.seq {
		t = v.ahead
	} else {
		v.ahead = term{}
	}
	if v.replica != t.replica {
		if v.replica != "" {
			e.opts.Logger.Info("Another replica of an HA pair is elected", "pair", pair, "replica", t.replica, "before", v.replica)
		}
		e.metrics.elections.WithLabelValues(e.labelLocked(pair, t)).Inc()
		v.replica, v.heard, v.newest = t.replica, math.MinInt64, math.MinInt64
	}
	return v, t
}

// forgetLocked drops the views of pairs that came to nothing.
func (e *Elections) forgetLocked() {
	for pair, v := range e.mu.views {
		if v.busy == nil && e.table.get(pair).seq == 0 {
			delete(e.mu.views, pair)
		}
	}
}

// labelLocked is what metrics call a cluster.
func (e *Elections) labelLocked(pair string, t term) string {
	l, ok := e.mu.labels[pair]
	if !ok && len(e.mu.labels) < ownLabels && t.seq != 0 {
		e.mu.labels[pair], l = pair, pair
	}
	return l
}

// noteLocked remembers that an elected replica was heard, and what was taken of it.
func (e *Elections) noteLocked(s sender, heard, newest int64) {
	if v := e.mu.views[s.pair]; v != nil && v.replica == s.replica {
		v.heard, v.newest = max(v.heard, heard), max(v.newest, newest)
	}
}

// elect proposes c, for which v is marked as busy, and reports whether it was answered. A sender that goes away does
// not end what others wait for.
func (e *Elections) elect(ctx context.Context, v *view, c command) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), proposing)
	defer cancel()
	st, t, err := e.propose(ctx, c)
	e.mu.Lock()
	defer e.mu.Unlock()
	close(v.busy)
	v.busy, v.retry, v.refused = nil, 0, nil
	if err == nil && st != full {
		v.ahead = t
		return true
	}
	v.retry = time.Now().Add(pause).UnixMilli()
	if err == nil {
		v.refused = ingest.Errorf(ingest.TooManyPairs, "pair %q", c.elect.pair)
	}
	return false
}

func (e *Elections) propose(ctx context.Context, c command) (status, term, error) {
	answer, err := e.opts.Propose(ctx, c.encode())
	if err != nil {
		e.metrics.failed.Inc()
		return 0, term{}, err
	}
	st, t, err := decodeAnswer(answer)
	if err == nil && st == bad {
		err = errBad
	}
	return st, t, err
}

var errBad = errors.New("the command was not understood: is another node's software older?")

// Took implements ingest.Elector.
func (e *Elections) Took(o ingest.Origin, newest int64, left ingest.Counts) {
	s, ok := e.origins.sender(o)
	if !ok {
		return
	}
	now := time.Now().UnixMilli()
	e.mu.Lock()
	defer e.mu.Unlock()
	if newest > math.MinInt64 { // One ahead of the clock does not keep the next replica waiting after a failover.
		e.noteLocked(s, now, min(newest, now+e.settings.Load().Failover.Milliseconds()))
	}
	if n := left.Samples + left.Histograms; n > 0 {
		e.metrics.left.WithLabelValues(e.labelLocked(s.pair, e.table.get(s.pair))).Add(float64(n))
	}
}
