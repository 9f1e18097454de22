package router

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// The own store forgets references whenever it likes: no sample is lost or lands on another series.
func TestLocalStoreForgets(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		p := found(t, 1, nodes, 1)
		g := newRegion(t, p, nil)
		refs := g.refs(t, sets(100)...)
		want := held{}
		for round := range 3 {
			f := randomFrameOf(refs)
			for i := range f.Times {
				f.Times[i] += int64(round * 10)
			}
			f.Starts = make([]int64, len(f.Times))
			for _, one := range wantOf(g, p, f) {
				for k, v := range one {
					want[k] = v
				}
			}
			rejected, err := g.write(t, f)
			require.NoError(t, err)
			require.Empty(t, rejected)
			g.own.forget()
		}
		got := g.own.has()
		for i := 1; i < nodes; i++ {
			for k, v := range g.has(id(i)) {
				got[k] = v
			}
		}
		require.Equal(t, want, got)
		require.Positive(t, testutil.ToFloat64(g.metrics.lost))
	}
}

// What the store rejects for another reason keeps its place when others are looked up anew.
func TestLocalStoreForgetsAndRejects(t *testing.T) {
	g := newRegion(t, found(t, 1, 1, 1), nil)
	refs := g.refs(t, sets(6)...)
	_, err := g.write(t, floats(1, refs...))
	require.NoError(t, err)
	g.own.reject = func(_ string, at int64) frame.Reason {
		if at%2 == 1 {
			return frame.TooOld
		}
		return 0
	}
	g.own.mu.Lock()
	for _, i := range []int{1, 2} {
		ls := string(g.Labels(refs[i]))
		delete(g.own.labels, g.own.refs[ls])
		delete(g.own.refs, ls)
	}
	g.own.mu.Unlock()
	f := floats(0, refs...)
	for i := range f.Times {
		f.Times[i] = int64(10 + i)
	}
	rejected, err := g.write(t, f)
	require.NoError(t, err)
	require.Equal(t, []frame.Rejected{{Index: 1, Reason: frame.TooOld}, {Index: 3, Reason: frame.TooOld}, {Index: 5, Reason: frame.TooOld}}, rejected)
}

// A store that forgets a series as fast as it is looked up has failed.
func TestLocalStoreForgetsAllTheTime(t *testing.T) {
	g := newRegion(t, found(t, 3, 3, 1), nil)
	g.own.before = g.own.forget
	_, err := g.write(t, floats(1, g.refs(t, sets(3)...)...))
	require.NoError(t, err)
	require.Equal(t, 1, g.missed.frames[id(0)])
	require.Len(t, g.missed.held[id(0)], 3)
}

// After a restart the series of this node are not new to it.
func TestFindAsksTheLocalStore(t *testing.T) {
	p := found(t, 1, 3, 1)
	g := newRegion(t, p, nil)
	all := sets(100)
	locals, err := g.own.Refs(t.Context(), nil, all)
	require.NoError(t, err)
	mine := 0
	for i, ref := range g.Find(nil, all) {
		if p.Shards[all[i].Fingerprint().Shard(p.Bits)][0].Node == id(0) {
			mine++
			require.Equal(t, all[i], g.Labels(ref))
			_, c := g.table.cell(ref)
			require.Equal(t, uint64(locals[i]), c.local.Load())
		} else {
			require.Zero(t, ref)
		}
	}
	require.Equal(t, mine, g.table.len())
	require.Equal(t, 100, g.Active())
	refs := g.refs(t, all...)
	require.Equal(t, refs, g.Find(nil, all))
	require.Equal(t, []series.Ref{1, refs[5]}, g.Find([]series.Ref{1}, all[5:6]))
	require.Zero(t, g.Find(nil, []series.Labels{series.FromStrings("a", "b")})[0])
}

func TestTooManySeries(t *testing.T) {
	g := newRegion(t, found(t, 1, 1, 1), func(o *Options) { o.MaxSeries = 10 })
	all := sets(11)
	refs := g.refs(t, all[:10]...)
	got, err := g.Refs(t.Context(), []series.Ref{5}, all)
	var e *ingest.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, ingest.TooManySeries, e.Reason)
	require.Equal(t, []series.Ref{5}, got)
	require.Equal(t, refs, g.refs(t, all[:10]...))
	require.Equal(t, 1.0, testutil.ToFloat64(g.metrics.refused))
}

// A series that is not used is forgotten in due time, and a frame with its reference says so.
func TestIdleSeriesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRegion(t, found(t, 1, 3, 1), nil)
		refs := g.refs(t, sets(100)...)
		for range 80 {
			_, err := g.write(t, floats(time.Now().UnixMilli(), refs[:50]...))
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		require.Equal(t, 50.0, testutil.ToFloat64(g.metrics.forgotten))
		fresh := g.refs(t, series.FromStrings("another", "one"))
		require.Less(t, fresh[0].Index(), uint32(100))
		rejected, err := g.write(t, floats(1, refs[49], refs[50], refs[99], fresh[0]))
		require.NoError(t, err)
		require.Equal(t, []frame.Rejected{{Index: 1, Reason: frame.UnknownRef}, {Index: 2, Reason: frame.UnknownRef}}, rejected)
		rejected, err = g.write(t, floats(1, refs[50]))
		require.NoError(t, err)
		require.Len(t, rejected, 1)
	})
}

func TestOptions(t *testing.T) {
	good := newRegion(t, nil, nil).opts
	for name, change := range map[string]func(*Options){
		"ID": func(o *Options) { o.Self[0], o.Self[15] = 0, 0 }, "local": func(o *Options) { o.Local = nil },
		"reach": func(o *Options) { o.Reach = nil }, "idle": func(o *Options) { o.Idle = time.Second },
		"series": func(o *Options) { o.MaxSeries = 1 << 30 },
	} {
		o := good
		o.Registerer = nil
		change(&o)
		_, err := New(o)
		require.Error(t, err, name)
	}
}
