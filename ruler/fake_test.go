package ruler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/ruler"
	"github.com/barograph-db/barograph/ruler/assign"
	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is nodes with a ruler each, that agree at once while a majority lives, and one store.
type fleet struct {
	t     *testing.T
	files []rules.Source
	// answers of queries, by expression.
	answers map[string]func(at int64) (promql.Vector, error)
	edit    func(*ruler.Options)

	mu      sync.Mutex
	nodes   []*node
	written map[string]map[int64][]float64 // by series and timestamp: all that was written
	notices []sent
}

type sent struct {
	ruler.Notice
	node string
	at   time.Time
}

type node struct {
	*ruler.Ruler
	name   string
	ledger *ledger.State
	alive  bool
	since  time.Time // of its death
	stop   context.CancelFunc
	done   chan struct{}
}

// noticed is how long it takes others to see that a node is dead, and to have another leader.
const noticed = 3 * time.Second

func newFleet(t *testing.T, n int, groups ...string) *fleet {
	f := &fleet{t: t, answers: map[string]func(int64) (promql.Vector, error){}, written: map[string]map[int64][]float64{}}
	f.files = []rules.Source{{Path: "rules.yml", Groups: f.texts(groups...)}}
	for i := range n {
		f.nodes = append(f.nodes, &node{name: fmt.Sprint("n", i), ledger: ledger.New()})
	}
	t.Cleanup(func() {
		for i := range f.nodes {
			f.kill(i)
		}
	})
	return f
}

func (f *fleet) texts(groups ...string) []rules.Text {
	texts, err := rules.File([]byte("groups:\n"+strings.Join(groups, "")), rules.Options{})
	require.NoError(f.t, err)
	return texts
}

func (f *fleet) startAll() {
	for i := range f.nodes {
		f.start(i)
	}
}

// start begins a life of a node. Its ledger is what the others have.
func (f *fleet) start(i int) {
	n := f.nodes[i]
	o := ruler.Options{
		Self: n.name, Ledger: n.ledger, Members: f.members, Query: f.query, Append: f.append,
		Propose: func(ctx context.Context, c []byte) ([]byte, error) { return f.propose(ctx, n, c) },
		Notify: func(all []ruler.Notice) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, one := range all {
				f.notices = append(f.notices, sent{one, n.name, time.Now()})
			}
		},
	}
	if f.edit != nil {
		f.edit(&o)
	}
	var err error
	n.Ruler, err = ruler.New(o, ruler.Settings{Files: f.files})
	require.NoError(f.t, err)
	ctx, stop := context.WithCancel(context.Background())
	n.stop, n.done = stop, make(chan struct{})
	f.mu.Lock()
	n.alive = true
	f.mu.Unlock()
	go func() {
		defer close(n.done)
		_ = n.Run(ctx)
	}()
}

// kill ends a node: nothing that it does from then on is heard.
func (f *fleet) kill(i int) {
	n := f.nodes[i]
	f.mu.Lock()
	was := n.alive
	if was {
		n.alive, n.since = false, time.Now()
	}
	f.mu.Unlock()
	if was {
		n.stop()
		<-n.done
	}
}

// seen reports whether others take a node for alive.
func (n *node) seen() bool { return n.alive || time.Since(n.since) < noticed && !n.since.IsZero() }

// leader is the first node, as the others see them.
func (f *fleet) leader() int {
	return slices.IndexFunc(f.nodes, func(n *node) bool { return n.seen() })
}

func (f *fleet) members() (out []assign.Member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, n := range f.nodes {
		out = append(out, assign.Member{ID: n.name, Alive: n.seen(), Leading: i == f.leader()})
	}
	return out
}

var errNoLeader = errors.New("no leader")

func (f *fleet) propose(ctx context.Context, from *node, c []byte) ([]byte, error) {
	if !sleepFor(ctx, 5*time.Millisecond) {
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.leader(); l < 0 || !f.nodes[l].alive || !from.alive {
		return nil, errNoLeader
	}
	var result []byte
	for _, n := range f.nodes { // The dead hear of it when they are back, which is before they do anything.
		result = n.ledger.Apply(c)
	}
	return result, nil
}

func sleepFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (f *fleet) query(ctx context.Context, expr string, at int64) (promql.Vector, error) {
	if !sleepFor(ctx, 10*time.Millisecond) {
		return nil, ctx.Err()
	}
	f.mu.Lock()
	answer := f.answers[expr]
	f.mu.Unlock()
	return answer(at)
}

func (f *fleet) append(ctx context.Context, samples []ruler.Sample) error {
	if !sleepFor(ctx, time.Millisecond) {
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range samples {
		name := s.Labels.String()
		if f.written[name] == nil {
			f.written[name] = map[int64][]float64{}
		}
		f.written[name][s.At] = append(f.written[name][s.At], s.Value)
	}
	return nil
}

// timestamps of a series, in order; each must have been written with one value only.
func (f *fleet) timestamps(name string) (ts []int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at, values := range f.written[name] {
		require.Len(f.t, slices.Compact(slices.Clone(values)), 1, "%s at %d", name, at)
		ts = append(ts, at)
	}
	slices.Sort(ts)
	return ts
}

// told are the notices of an alert, as "firing" and "resolved", without those that repeat what was sent.
func (f *fleet) told(name string) (all []sent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.notices {
		if s.Labels.Get(labels.AlertName) == name {
			all = append(all, s)
		}
	}
	return all
}

func one(value float64) promql.Vector {
	return promql.Vector{{Metric: labels.FromStrings("__name__", "x", "instance", "a"), F: value}}
}

func bubble(t *testing.T, run func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, run)
}
