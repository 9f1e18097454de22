package ingest_test

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// elector takes samples of the origins in after, by the value of their label "from".
type elector struct {
	after   map[string]int64
	refused map[string]*ingest.Error
	names   map[ingest.Origin]string
	numbers map[string]ingest.Origin
	next    ingest.Origin
	asked   int
	read    int
	newest  map[string]int64
	left    map[string]ingest.Counts
}

func newElector() *elector {
	return &elector{
		after: map[string]int64{}, names: map[ingest.Origin]string{}, numbers: map[string]ingest.Origin{},
		newest: map[string]int64{}, left: map[string]ingest.Counts{}, refused: map[string]*ingest.Error{},
	}
}

func (e *elector) Origin(ps []series.Pair) ([]series.Pair, ingest.Origin, error) {
	e.read++
	for i, p := range ps {
		if string(p.Name) == "from" {
			name := string(p.Value)
			if e.numbers[name] == 0 {
				e.next++
				e.numbers[name], e.names[e.next] = e.next, name
			}
			ps[i] = ps[len(ps)-1]
			return ps[:len(ps)-1], e.numbers[name], nil
		}
	}
	return ps, 0, nil
}

func (e *elector) Judge(_ context.Context, o ingest.Origin) ingest.Verdict {
	e.asked++
	name, ok := e.names[o]
	if !ok {
		return ingest.Verdict{}
	}
	after, ok := e.after[name]
	if !ok {
		after = ingest.NoSamples
	}
	return ingest.Verdict{Known: true, After: after, Refused: e.refused[name]}
}

func (e *elector) Took(o ingest.Origin, newest int64, left ingest.Counts) {
	e.newest[e.names[o]] = newest
	c := e.left[e.names[o]]
	c.Add(left)
	e.left[e.names[o]] = c
}

func electing(t *testing.T) (*elector, *fakeStore, *ingest.Writer) {
	t.Helper()
	e, store := newElector(), newFakeStore()
	w, err := ingest.NewWriter(store, ingest.Options{Elector: e, MaxFuture: math.MaxInt64})
	require.NoError(t, err)
	return e, store, w
}

func names(s *fakeStore) []string {
	var out []string
	for l := range s.samples {
		out = append(out, series.Labels(l).String())
	}
	return out
}

func TestElectedOriginIsStored(t *testing.T) {
	e, store, w := electing(t)
	e.after["a"] = math.MinInt64
	a, b, other := pairs("__name__", "x", "from", "a"), pairs("__name__", "x", "from", "b"), pairs("__name__", "y", "from", "b")
	for round := range int64(3) {
		res, err := w.Append(t.Context(), batch(1000+round, a, pairs("__name__", "z")))
		require.NoError(t, err)
		require.Equal(t, ingest.Result{Written: ingest.Counts{Samples: 2}}, res)
		res, err = w.Append(t.Context(), batch(2000+round, b, other))
		require.NoError(t, err)
		require.Equal(t, ingest.Result{Deduplicated: ingest.Counts{Samples: 2}}, res)
	}
	require.ElementsMatch(t, []string{`{__name__="x"}`, `{__name__="z"}`}, names(store), "the label is taken off")
	require.Equal(t, 2, store.created, "a series of which nothing is taken is not made")
	require.Equal(t, 4, e.read, "labels are read once")
	require.Equal(t, 6, e.asked, "one verdict for each origin and batch")
	require.Equal(t, int64(1002), e.newest["a"])
	require.Equal(t, int64(math.MinInt64), e.newest["b"])
	require.Equal(t, ingest.Counts{Samples: 6}, e.left["b"])

	// The other one takes over, later than what is there.
	delete(e.after, "a")
	e.after["b"] = 1002
	late := batch(1002, b, other)
	res, err := w.Append(t.Context(), late)
	require.NoError(t, err)
	require.Equal(t, ingest.Counts{Samples: 2}, res.Deduplicated)
	res, err = w.Append(t.Context(), batch(1003, b, other))
	require.NoError(t, err)
	require.Equal(t, ingest.Counts{Samples: 2}, res.Written)
	require.Equal(t, 3, store.created)
	require.Len(t, store.samples[string(mustLabels(t, "__name__", "x"))], 4)
}

func mustLabels(t *testing.T, ss ...string) series.Labels {
	t.Helper()
	l, err := series.FromPairs(nil, pairs(ss...))
	require.NoError(t, err)
	return l
}

// A request of several senders is told apart, and so are the samples of one series.
func TestMixedBatch(t *testing.T) {
	e, store, w := electing(t)
	e.after["a"] = 105
	e.refused["c"] = ingest.Errorf(ingest.NotElected, "c")
	sets := pairsSource{pairs("__name__", "x", "from", "a"), pairs("__name__", "y", "from", "b"), pairs("__name__", "z"), pairs("__name__", "w", "from", "c")}
	mixed := func() *ingest.Batch {
		b := &ingest.Batch{Source: sets}
		for i, times := range [][]int64{{104, 106, 105, 107}, {200, 201}, {1, 2}, {3}} {
			from := uint32(len(b.Times))
			for _, at := range times {
				b.Times, b.Values = append(b.Times, at), append(b.Values, float64(at))
			}
			b.Runs = append(b.Runs, ingest.Run{Key: rawKey(sets[i]), Floats: ingest.Span{From: from, To: uint32(len(b.Times))}})
		}
		b.Runs[0].Exemplars = ingest.Span{From: 0, To: 2}
		b.Exemplars = []frame.Exemplar{{T: 104}, {T: 0}}
		return b
	}
	for range 2 { // Unknown, then known.
		res, err := w.Append(t.Context(), mixed())
		require.NoError(t, err)
		require.Equal(t, ingest.Counts{Samples: 4, Exemplars: 1}, res.Written)
		require.Equal(t, ingest.Counts{Samples: 4, Exemplars: 1}, res.Deduplicated)
		require.Equal(t, 503, res.Rejections.Status())
		require.Equal(t, map[int64]float64{106: 106, 107: 107}, store.samples[string(mustLabels(t, "__name__", "x"))])
		require.Equal(t, int64(107), e.newest["a"])
	}
	require.ElementsMatch(t, []string{`{__name__="x"}`, `{__name__="z"}`}, names(store))
}

// Labels are read again where an origin, or a reference, is forgotten.
func TestForgottenOrigin(t *testing.T) {
	e, store, w := electing(t)
	e.after["a"] = 0
	a := pairs("__name__", "x", "from", "a")
	for at := range int64(4) {
		switch at {
		case 1:
			delete(e.names, e.numbers["a"])
			delete(e.numbers, "a")
		case 2:
			store.forget(string(mustLabels(t, "__name__", "x")))
		}
		res, err := w.Append(t.Context(), batch(at+1, a))
		require.NoError(t, err)
		require.Equal(t, ingest.Counts{Samples: 1}, res.Written)
	}
	require.Equal(t, 3, e.read)
}
