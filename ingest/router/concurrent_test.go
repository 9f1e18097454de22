package router

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// Many write at once while peers fail, answer late, the store forgets and the placement changes:
// each acknowledged sample is on each of its replicas, or that one is known to have missed it, with
// the value that was sent.
func TestConcurrentWrites(t *testing.T) {
	const writers, rounds, each = 4, 60, 40
	p := found(t, 3, 4, 2)
	joined, err := p.Join(fleet(5, 2)[4])
	require.NoError(t, err)
	g := newRegion(t, p, nil)
	var late sync.WaitGroup
	for i := 1; i <= 4; i++ {
		rng := rand.New(rand.NewPCG(7, uint64(i)))
		g.peers[id(i)].later = func(done func()) { // Under the peer's lock.
			switch {
			case i == 3 && rng.IntN(3) == 0:
				g.peers[id(i)].err = errFake // Of the next one.
			case i == 3:
				g.peers[id(i)].err = nil
			}
			late.Go(done)
		}
	}
	acked := make([]held, writers)
	var wg sync.WaitGroup
	for n := range writers {
		acked[n] = held{}
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(8, uint64(n)))
			all := sets(100)
			for round := range rounds {
				some := make([]series.Labels, each)
				for i := range some {
					some[i] = all[rng.IntN(len(all))]
				}
				refs, err := g.Refs(context.Background(), nil, some)
				if err != nil {
					t.Error(err)
					return
				}
				f := floats(0, refs...)
				want := held{}
				for i := range refs {
					f.Times[i] = int64((n*rounds+round)*each + i)
					f.Values[i] = rng.Float64()
					want[key("float", string(some[i]), f.Times[i])] = f.Values[i]
				}
				rejected, err := g.write(t, f)
				if len(rejected) > 0 {
					t.Error(rejected)
				}
				for k, v := range want {
					if err == nil {
						acked[n][k] = v
					}
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 20 {
			if i == 10 {
				g.SetPlacement(joined.Next(4))
			}
			g.own.forget()
		}
	})
	wg.Wait()
	late.Wait()
	has := map[placement.NodeID]held{}
	for _, n := range p.Nodes {
		has[n.ID] = g.has(n.ID)
	}
	total := 0
	for n := range writers {
		total += len(acked[n])
		for k, v := range acked[n] {
			for _, r := range p.Shards[series.Labels(strings.Fields(k)[1]).Fingerprint().Shard(p.Bits)] {
				got, ok := has[r.Node][k]
				if !ok {
					got, ok = g.missed.held[r.Node][k]
				}
				if !ok || got != v {
					t.Fatalf("%s of %s: %v, not %v", k, r.Node, got, v)
				}
			}
		}
	}
	require.Greater(t, total, writers*rounds*each/2)
}

// pairsSource is a Labeler over label sets.
type pairsSource []series.Labels

func (p pairsSource) AppendPairs(dst []series.Pair, run int) ([]series.Pair, error) {
	for name, value := range p[run].All() {
		dst = append(dst, series.Pair{Name: name, Value: value})
	}
	return dst, nil
}

var hasher = ingest.NewHasher()

// batch has one float sample of each set.
func batch(at int64, sets []series.Labels) *ingest.Batch {
	b := &ingest.Batch{Source: pairsSource(sets)}
	for i, ls := range sets {
		b.Runs = append(b.Runs, ingest.Run{Key: hasher.Sum(ls), Floats: ingest.Span{From: uint32(i), To: uint32(i + 1)}})
		b.Times, b.Values = append(b.Times, at), append(b.Values, float64(i))
	}
	return b
}

// The whole path of a node: a Writer above, a DB below. The Router forgets what is idle meanwhile.
func TestWriterAndDB(t *testing.T) {
	db, err := storage.Open("data", storage.Options{FS: vfs.NewMem(), Retention: 100 * 365 * 24 * time.Hour})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- db.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	p := found(t, 2, 3, 3)
	g := newRegion(t, p, func(o *Options) { o.Local = db })
	w, err := ingest.NewWriter(g, ingest.Options{})
	require.NoError(t, err)
	all := sets(300)
	now := time.Now().UnixMilli()
	for round := range 10 {
		res, err := w.Append(t.Context(), batch(now+int64(round), all))
		require.NoError(t, err)
		require.Equal(t, 300, res.Written.Samples)
		require.Empty(t, res.Rejections)
		if round == 5 { // Far in the future all series are idle.
			sweepAll(g.table, epochOf(time.Now())+1000, epochOf(time.Now())+1014)
			require.Zero(t, g.table.len())
		}
	}
	got := selectAll(t, db)
	for i, ls := range all {
		for _, n := range p.Nodes {
			holds := p.Holds(ls.Fingerprint().Shard(p.Bits), n.ID)
			for round := range int64(10) {
				k := key("float", string(ls), now+round)
				v, ok := got[k]
				if n.ID != g.opts.Self {
					v, ok = g.peers[n.ID].held[k]
				}
				require.Equal(t, holds, ok, "%s on %s", ls, n.Name)
				require.True(t, !ok || v == float64(i))
			}
		}
	}
}

func selectAll(t *testing.T, db *storage.DB) held {
	t.Helper()
	set, err := db.Select(t.Context(), series.Selector{Mint: 0, Maxt: 1 << 60})
	require.NoError(t, err)
	got := held{}
	for set.Next() {
		s := set.At()
		for it := chunk.NewIterator(s.Chunks); it.Next() != 0; {
			at, v := it.At()
			got[key("float", string(s.Labels), at)] = v
		}
	}
	require.NoError(t, set.Err())
	require.NoError(t, set.Close())
	return got
}
