package router

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
)

var errStale = errors.New("your placement is old")

// moving is a placement of three nodes, and the next one, by which a fourth fills.
func moving(t testing.TB) (before, after *placement.Placement) {
	before = found(t, 3, 3, 1)
	joined, err := before.Join(fleet(4, 1)[3])
	require.NoError(t, err)
	after = joined.Next(64)
	require.Equal(t, after.Epoch, after.Fence)
	return before, after
}

// A write that nodes refuse because of its placement is done again by the newer one, which is asked for
// where it is known.
func TestStale(t *testing.T) {
	before, after := moving(t)
	var g *region
	var asked []placement.NodeID
	g = newRegion(t, before, func(o *Options) {
		o.Stale = func(err error) bool { return errors.Is(err, errStale) }
		o.CatchUp = func(_ context.Context, n placement.NodeID) {
			asked = append(asked, n)
			g.peers[id(1)].set(func(p *peer) { p.err = nil })
			g.SetPlacement(after)
		}
	})
	g.peers[id(1)].set(func(p *peer) { p.err = errStale })
	refs := g.refs(t, sets(100)...)
	f := randomFrameOf(refs)
	want := wantOf(g, after, f)
	_, err := g.write(t, f)
	require.NoError(t, err)
	require.Equal(t, []placement.NodeID{id(1)}, asked)
	require.NotEmpty(t, want[id(3)])
	for n, has := range want {
		require.Subset(t, g.has(n), has)
	}
	require.Empty(t, g.missed.frames)
}

// Where no newer placement is to be had, what counts is whether enough have the write.
func TestStaleForLong(t *testing.T) {
	before, _ := moving(t)
	g := newRegion(t, before, func(o *Options) { o.Stale = func(err error) bool { return errors.Is(err, errStale) } })
	refs := g.refs(t, sets(100)...)
	g.peers[id(1)].set(func(p *peer) { p.err = errStale })
	_, err := g.write(t, floats(1, refs...))
	require.NoError(t, err)
	require.Equal(t, 1, g.missed.frames[id(1)])
	g.peers[id(2)].set(func(p *peer) { p.err = errStale })
	_, err = g.write(t, floats(2, refs...))
	require.Equal(t, []string{"b", "c"}, failedNodes(t, err))
}

// A write that was begun by a placement, and gets its last answer when that is shut out, is not
// acknowledged by it: a copy for the replica that fills may have been made meanwhile.
func TestShutOutMeanwhile(t *testing.T) {
	before, after := moving(t)
	g := newRegion(t, before, nil)
	refs := g.refs(t, sets(100)...)
	for _, n := range []int{1, 2} {
		g.peers[id(n)].set(func(p *peer) {
			p.later = func(answer func()) {
				g.SetPlacement(after)
				go answer()
			}
		})
	}
	f := randomFrameOf(refs)
	want := wantOf(g, after, f)
	_, err := g.write(t, f)
	require.NoError(t, err)
	require.Subset(t, g.has(id(3)), want[id(3)])
	require.True(t, g.Stale(before.Epoch))
	require.False(t, g.Stale(after.Epoch))
	require.Equal(t, after.Epoch, g.Epoch())
}

// A write is not begun for ever.
func TestPlacementsInARow(t *testing.T) {
	p, _ := moving(t)
	g := newRegion(t, p, nil)
	refs := g.refs(t, sets(10)...)
	g.peers[id(1)].set(func(peer *peer) {
		peer.later = func(answer func()) {
			next := *p
			next.Epoch++
			next.Fence = next.Epoch
			p = &next
			g.SetPlacement(p)
			go answer()
		}
	})
	_, err := g.write(t, floats(1, refs...))
	require.ErrorContains(t, err, "changes faster")
}
