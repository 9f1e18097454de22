package placement

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

// holders are the nodes that have some sample of a shard, which was acknowledged.
type holders []NodeID

// some acknowledgements that are enough, by chance, of a shard that may be filling: a quorum of the replicas that are
// whole, and of those that will be.
func some(p *Placement, s series.Shard, rng *rand.Rand) holders {
	whole, filling := p.Replicas(s)
	all := p.wholeIDs(s, NodeID{})
	if filling != nil {
		all = append(all, filling.Node)
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	count := func(of []NodeID) (n int) {
		for _, id := range of {
			if (filling == nil || id != filling.Node) && slices.Contains(all, id) {
				n++
			}
		}
		return n
	}
	for n := 1; ; n++ {
		h := all[:n]
		if count(h) < QuorumOf(len(whole)) {
			continue
		}
		if filling != nil {
			after := append(p.wholeIDs(s, filling.For), filling.Node)
			if len(after)-len(without(after, h)) < QuorumOf(len(after)) {
				continue
			}
		}
		return slices.Clone(h)
	}
}

// Whatever happens, so many replicas have each sample as the placement says: the planner trusts it.
func TestHeld(t *testing.T) {
	short := 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 2))
		all := fleet(8, 1)
		p := found(t, 2, 1+rng.IntN(4), all[:1+rng.IntN(5)])
		samples := make([][]holders, len(p.Shards))
		for range 200 {
			for s := range samples {
				if samples[s] = append(samples[s], some(p, series.Shard(s), rng)); len(samples[s]) > 20 {
					samples[s] = slices.Delete(samples[s], 0, 1+rng.IntN(19))
				}
			}
			next := randomStep(t, p, all, rng)
			for s := range samples {
				shard := series.Shard(s)
				after := next.wholeIDs(shard, NodeID{})
				came := without(after, p.wholeIDs(shard, NodeID{}))
				samples[s] = slices.DeleteFunc(samples[s], func(h holders) bool {
					return len(without(h, after)) == len(h) && len(came) == 0 // Too many were lost.
				})
				for i, h := range samples[s] {
					if len(came) > 0 { // It has copied all there is.
						samples[s][i] = append(h, came...)
					}
				}
				for _, h := range samples[s] {
					held := len(after) - len(without(after, h))
					require.GreaterOrEqual(t, held, next.Held(shard), "seed %d, shard %d\n%v", seed, s, next)
				}
			}
			if short += len(next.Short); rng.IntN(20) == 0 {
				for s := range samples {
					samples[s] = nil // Nobody lacks anything.
				}
				next = next.Sound()
			}
			p = next
		}
	}
	require.Positive(t, short)
}

// Writers before a replica was begun to be filled, or was given up, are shut out; those before it was
// whole are not.
func TestFence(t *testing.T) {
	p := found(t, 2, 2, fleet(2, 1))
	require.Zero(t, p.Fence)
	p, err := p.Join(fleet(3, 1)[2])
	require.NoError(t, err)
	require.Zero(t, p.Fence)
	begun := p.Next(4)
	require.Equal(t, begun.Epoch, begun.Fence)
	m := begun.Moves()[0]
	whole, err := begun.Filled(m.To, m.Shard)
	require.NoError(t, err)
	require.Equal(t, begun.Fence, whole.Fence)
	gone, err := whole.Remove(id(0), false)
	require.NoError(t, err)
	require.Equal(t, gone.Epoch, gone.Fence)
}

// A node that is down is not waited for where nobody waited for it before.
func TestDown(t *testing.T) {
	p := found(t, 2, 3, fleet(1, 1))
	p, err := p.Join(fleet(2, 1)[1])
	require.NoError(t, err)
	require.Same(t, p, p.Next(4, id(1)), "nothing moves to it")
	p = p.Next(4)
	require.Len(t, p.Moves(), 4)
	p = p.Next(4, id(1))
	require.Empty(t, p.Moves())

	p = found(t, 2, 3, fleet(3, 1))
	p, err = p.Join(fleet(4, 1)[3])
	require.NoError(t, err)
	p = p.Next(4)
	require.NotEmpty(t, p.Moves())
	require.Same(t, p, p.Next(4, id(3)), "the others are enough")
	m := p.Moves()[0]
	other := without(p.wholeIDs(m.Shard, NodeID{}), []NodeID{m.For})[0]
	_, filling := p.Next(4, id(3), other).Replicas(m.Shard)
	require.Nil(t, filling, "one of them is down too")
}
