package router

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// held is what a node has: by series, kind and time.
type held map[string]float64

func key(kind, labels string, t int64) string { return fmt.Sprintf("%s %s %d", kind, labels, t) }

// put takes all of f but what reject names.
func (h held) put(f *frame.Frame, labels func(series.Ref) string, reject func(labels string, t int64) frame.Reason) (rejected []frame.Rejected) {
	n := -1
	take := func(kind string, ref series.Ref, t int64, v float64) {
		n++
		ls := labels(ref)
		why := frame.UnknownRef
		if ls != "" {
			why = 0
			if reject != nil {
				why = reject(ls, t)
			}
		}
		if why != 0 {
			rejected = append(rejected, frame.Rejected{Index: n, Reason: why})
			return
		}
		h[key(kind, ls, t)] = v
	}
	for i, ref := range f.Refs {
		v := f.Values[i]
		if len(f.Starts) > 0 {
			v += float64(f.Starts[i]) / 1000
		}
		take("float", ref, f.Times[i], v)
	}
	for _, x := range f.Histograms {
		take("histogram", x.Ref, x.T, x.H.Sum)
	}
	for _, x := range f.Exemplars {
		take("exemplar "+x.Labels.String(), x.Ref, x.T, x.V)
	}
	for _, x := range f.Metadata {
		h["metadata "+x.Metric+" "+x.Help] = 1
	}
	return rejected
}

var errFake = errors.New("no room")

// store is a node's own, in maps.
type store struct {
	mu     sync.Mutex
	refs   map[string]series.Ref
	labels map[series.Ref]string
	next   series.Ref
	held   held
	err    error
	reject func(labels string, t int64) frame.Reason
	before func() // called at the begin of Append
}

func newStore() *store {
	return &store{refs: map[string]series.Ref{}, labels: map[series.Ref]string{}, held: held{}, next: 1 << 40}
}

func (s *store) Find(dst []series.Ref, sets []series.Labels) []series.Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ls := range sets {
		dst = append(dst, s.refs[string(ls)])
	}
	return dst
}

func (s *store) Refs(_ context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return dst, s.err
	}
	for _, ls := range sets {
		if s.refs[string(ls)] == 0 {
			s.next++
			s.refs[string(ls)], s.labels[s.next] = s.next, string(ls)
		}
		dst = append(dst, s.refs[string(ls)])
	}
	return dst, nil
}

func (s *store) Active() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.refs)
}

func (s *store) Append(_ context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	if s.before != nil {
		s.before()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	return s.held.put(f, func(r series.Ref) string { return s.labels[r] }, s.reject), nil
}

// forget drops all references.
func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.refs)
	clear(s.labels)
}

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *store) has() held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.held)
}

// peer is another node, and the Sender to it. Unless told otherwise it takes a frame and says so
// before Send returns.
type peer struct {
	mu     sync.Mutex
	region *region
	held   held
	refuse error // of Send
	err    error // of done
	reject func(labels string, t int64) frame.Reason
	later  func(done func()) // calls done when it likes
	gone   bool              // can't be reached
	frames int
}

func (p *peer) Send(f *frame.Frame, done func([]frame.Rejected, error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		return p.refuse
	}
	p.frames++
	f.Sender, f.Seq, f.Series = 7, uint64(p.frames), []frame.SeriesDef{{Ref: 1}} // It may.
	got := held{}
	rejected := got.put(f, func(r series.Ref) string {
		return string(p.region.Labels(r))
	}, p.reject)
	err := p.err
	answer := func() {
		if err != nil {
			done(nil, err)
			return
		}
		p.mu.Lock()
		maps.Copy(p.held, got)
		p.mu.Unlock()
		done(rejected, nil)
	}
	if p.later != nil {
		p.later(answer)
		return nil
	}
	p.mu.Unlock()
	defer p.mu.Lock()
	answer()
	return nil
}

func (p *peer) set(change func(*peer)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *peer) has() held {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.held)
}

// region is a Router on the first of some nodes, and what all of them hold.
type region struct {
	*Router
	own    *store
	peers  map[placement.NodeID]*peer
	missed struct {
		sync.Mutex
		frames map[placement.NodeID]int
		held   map[placement.NodeID]held
	}
}

func id(i int) placement.NodeID { return placement.NodeID{1, 15: byte(i)} }

// fleet makes nodes a, b, c... over so many zones.
func fleet(nodes, zones int) []placement.Node {
	all := make([]placement.Node, nodes)
	for i := range all {
		all[i] = placement.Node{ID: id(i), Name: string(rune('a' + i)), Zone: fmt.Sprintf("z%d", i%zones), Weight: 1}
	}
	return all
}

func found(t testing.TB, factor, nodes, zones int) *placement.Placement {
	t.Helper()
	p, err := placement.Found(6, factor, fleet(nodes, zones))
	require.NoError(t, err)
	return p
}

func newRegion(t testing.TB, p *placement.Placement, change func(*Options)) *region {
	t.Helper()
	g := &region{own: newStore(), peers: map[placement.NodeID]*peer{}}
	g.missed.frames, g.missed.held = map[placement.NodeID]int{}, map[placement.NodeID]held{}
	for i := 1; i < 8; i++ {
		g.peers[id(i)] = &peer{region: g, held: held{}}
	}
	o := Options{
		Self: id(0), Local: g.own, Patience: 10 * time.Millisecond, Registerer: prometheus.NewPedanticRegistry(),
		Reach: func(n placement.NodeID) (Sender, bool) {
			p := g.peers[n]
			p.mu.Lock()
			defer p.mu.Unlock()
			return p, !p.gone
		},
		Missed: func(n placement.NodeID, f *frame.Frame, labels func(series.Ref) series.Labels) error {
			g.missed.Lock()
			defer g.missed.Unlock()
			g.missed.frames[n]++
			if g.missed.held[n] == nil {
				g.missed.held[n] = held{}
			}
			if f.Seq != 0 || len(f.Series) > 0 {
				panic("what a Sender set is in a missed frame")
			}
			g.missed.held[n].put(f, func(r series.Ref) string { return string(labels(r)) }, nil)
			return nil
		},
	}
	if change != nil {
		change(&o)
	}
	var err error
	g.Router, err = New(o)
	require.NoError(t, err)
	if p != nil {
		g.SetPlacement(p)
	}
	return g
}

// has is what a node holds.
func (g *region) has(n placement.NodeID) held {
	if n == g.opts.Self {
		return g.own.has()
	}
	return g.peers[n].has()
}

func (g *region) refs(t testing.TB, sets ...series.Labels) []series.Ref {
	t.Helper()
	refs, err := g.Refs(t.Context(), nil, sets)
	require.NoError(t, err)
	require.Len(t, refs, len(sets))
	return refs
}

// write appends f, and spoils its memory afterwards.
func (g *region) write(t testing.TB, f *frame.Frame) ([]frame.Rejected, error) {
	t.Helper()
	rejected, err := g.Append(t.Context(), f)
	for i := range f.Refs {
		f.Refs[i], f.Times[i], f.Values[i] = 1<<60, -1, -1
	}
	for i := range f.Starts {
		f.Starts[i] = -1
	}
	for i := range f.Histograms {
		f.Histograms[i].Ref, f.Histograms[i].H.Sum = 1<<60, -1
	}
	for i := range f.Exemplars {
		f.Exemplars[i].Ref = 1 << 60
		clear(f.Exemplars[i].Labels)
	}
	return rejected, err
}

func sets(n int) []series.Labels {
	all := make([]series.Labels, n)
	for i := range all {
		all[i] = series.FromStrings("__name__", "m", "i", fmt.Sprint(i))
	}
	return all
}

func floats(t int64, refs ...series.Ref) *frame.Frame {
	f := &frame.Frame{}
	for i, r := range refs {
		f.Refs, f.Times, f.Values = append(f.Refs, r), append(f.Times, t), append(f.Values, float64(i))
	}
	return f
}

func integers(sum float64) *histogram.Histogram {
	return &histogram.Histogram{Sum: sum, Count: 1, ZeroCount: 1}
}

// randomFrameOf is a frame with all kinds of things of all series.
func randomFrameOf(refs []series.Ref) *frame.Frame {
	f := floats(1, refs...)
	for i, r := range refs {
		f.Histograms = append(f.Histograms, frame.Histogram{Ref: r, T: 2, H: integers(float64(i))})
		f.Exemplars = append(f.Exemplars, frame.Exemplar{Ref: r, T: 3, V: float64(i), Labels: series.FromStrings("id", fmt.Sprint(i))})
		f.Metadata = append(f.Metadata, frame.Metadata{Metric: fmt.Sprint("m", i)})
	}
	return f
}

func wantOf(g *region, p *placement.Placement, f *frame.Frame) map[placement.NodeID]held {
	want := map[placement.NodeID]held{}
	expect(want, p, f, g.Labels)
	return want
}
