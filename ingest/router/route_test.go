package router

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// expect adds what f means to what each node is to hold.
func expect(want map[placement.NodeID]held, p *placement.Placement, f *frame.Frame, labels func(series.Ref) series.Labels) {
	to := func(ls series.Labels, one *frame.Frame) {
		for _, r := range p.Shards[ls.Fingerprint().Shard(p.Bits)] {
			if want[r.Node] == nil {
				want[r.Node] = held{}
			}
			want[r.Node].put(one, func(series.Ref) string { return string(ls) }, nil)
		}
	}
	for i, ref := range f.Refs {
		one := &frame.Frame{Refs: f.Refs[i : i+1], Times: f.Times[i : i+1], Values: f.Values[i : i+1]}
		if len(f.Starts) > 0 {
			one.Starts = f.Starts[i : i+1]
		}
		to(labels(ref), one)
	}
	for i, h := range f.Histograms {
		to(labels(h.Ref), &frame.Frame{Histograms: f.Histograms[i : i+1]})
	}
	for i, e := range f.Exemplars {
		to(labels(e.Ref), &frame.Frame{Exemplars: f.Exemplars[i : i+1]})
	}
	for i, m := range f.Metadata {
		to(series.FromStrings("__name__", m.Metric), &frame.Frame{Metadata: f.Metadata[i : i+1]})
	}
}

// randomFrame has a bit of everything.
func randomFrame(rng *rand.Rand, at int64, refs []series.Ref) *frame.Frame {
	f := &frame.Frame{}
	pick := func() series.Ref { return refs[rng.IntN(len(refs))] }
	starts := rng.IntN(3) == 0
	for range rng.IntN(60) {
		ref := pick()
		for range 1 + rng.IntN(3) { // Runs of one series, too.
			f.Refs, f.Times, f.Values = append(f.Refs, ref), append(f.Times, at), append(f.Values, float64(rng.IntN(1000)))
			if starts {
				f.Starts = append(f.Starts, int64(rng.IntN(1000)))
			}
			at++
		}
	}
	if rng.IntN(2) == 0 {
		for range rng.IntN(10) {
			f.Histograms = append(f.Histograms, frame.Histogram{Ref: pick(), T: at, H: integers(float64(at))})
			f.Exemplars = append(f.Exemplars, frame.Exemplar{Ref: pick(), T: at, V: float64(at), Labels: series.FromStrings("id", fmt.Sprint(at))})
			f.Metadata = append(f.Metadata, frame.Metadata{Metric: fmt.Sprintf("m%d", rng.IntN(50)), Help: "help"})
			at++
		}
	}
	return f
}

// Every sample reaches exactly the replicas of its shard, by its labels, whatever steps the placement
// takes.
func TestAgainstOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	all := sets(200)
	for nodes := 1; nodes <= 5; nodes++ {
		for factor := 1; factor <= 3; factor++ {
			t.Run(fmt.Sprintf("RF %d of %d", factor, nodes), func(t *testing.T) {
				p := found(t, factor, nodes, 1+rng.IntN(nodes))
				g := newRegion(t, p, nil)
				refs := g.refs(t, all...)
				want := map[placement.NodeID]held{}
				filling := 0
				for n := range 30 {
					switch n {
					case 10:
						var err error
						p, err = p.Join(fleet(nodes+1, 2)[nodes])
						require.NoError(t, err)
						p = p.Next(8)
						filling = len(p.Moves())
					case 20:
						for _, m := range p.Moves() {
							var err error
							p, err = p.Filled(m.To, m.Shard)
							require.NoError(t, err)
						}
					}
					g.SetPlacement(p)
					f := randomFrame(rng, int64(n*1000), refs)
					expect(want, p, f, g.Labels)
					rejected, err := g.write(t, f)
					require.NoError(t, err)
					require.Empty(t, rejected)
				}
				require.True(t, filling > 0 || factor > nodes)
				for _, n := range p.Nodes {
					require.Equal(t, want[n.ID], g.has(n.ID), n.Name)
				}
				require.Empty(t, g.missed.frames)
			})
		}
	}
}

// With as many replicas as nodes the frame is handed on as it is.
func TestWholeFramesAreNotCopied(t *testing.T) {
	g := newRegion(t, found(t, 3, 3, 1), nil)
	f := floats(1, g.refs(t, sets(50)...)...)
	seen := 0
	for _, n := range []int{1, 2} {
		g.peers[id(n)].reject = func(string, int64) frame.Reason { seen++; return 0 }
	}
	w := g.writes.Get().(*write)
	w.begin(g.routes.Load(), f, epochOf(time.Now()))
	w.split()
	require.Len(t, w.targets, 3)
	for _, to := range w.targets {
		require.Same(t, &f.Refs[0], &to.frame.Refs[0])
	}
	w.release()
	_, err := g.write(t, f)
	require.NoError(t, err)
	require.Equal(t, 100, seen)
}

// Metadata goes where whoever asks each shard once finds it.
func TestMetadataAlone(t *testing.T) {
	p := found(t, 1, 3, 1)
	g := newRegion(t, p, nil)
	f := &frame.Frame{}
	for i := range 40 {
		f.Metadata = append(f.Metadata, frame.Metadata{Metric: fmt.Sprint("m", i)})
	}
	want := map[placement.NodeID]held{}
	expect(want, p, f, g.Labels)
	_, err := g.write(t, f)
	require.NoError(t, err)
	total := 0
	for i := range 3 {
		require.Equal(t, want[id(i)], g.has(id(i)))
		total += len(g.has(id(i)))
	}
	require.Equal(t, 40, total)
}

func TestNoPlacement(t *testing.T) {
	g := newRegion(t, nil, nil)
	_, err := g.Append(t.Context(), floats(1, g.refs(t, sets(1)...)...))
	require.ErrorContains(t, err, "err-barograph-store-unavailable")
	g.SetPlacement(found(t, 1, 1, 1))
	_, err = g.Append(t.Context(), &frame.Frame{})
	require.NoError(t, err)
}

func TestOlderPlacementIsIgnored(t *testing.T) {
	old := found(t, 1, 2, 1)
	drained, err := old.Drain(id(1))
	require.NoError(t, err)
	g := newRegion(t, drained, nil)
	g.SetPlacement(old)
	require.Same(t, drained, g.routes.Load().table.Placement())
}
