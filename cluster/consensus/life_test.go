package consensus

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// All nodes are restarted; before they see each other they have what they knew.
func TestRestart(t *testing.T) {
	for _, inOrder := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRegion(t)
			r.tune = func(o *Options) { o.SnapshotEntries, o.TrailingEntries, o.SnapshotInterval = 20, 5, time.Second }
			r.found(3)
			all := commands(1, 50)
			for _, c := range all {
				r.nodes[1].propose(c)
			}
			r.agree(all, 1, 2, 3)
			time.Sleep(5 * time.Second) // For a snapshot.
			more := commands(51, 10)
			for _, c := range more {
				r.nodes[2].propose(c)
			}
			all = append(all, more...)
			r.agree(all, 1, 2, 3)
			for n := 1; n <= 3; n++ {
				if inOrder {
					r.nodes[n].stop()
				} else {
					r.nodes[n].kill()
				}
			}
			first := r.start(1)
			// What was agreed on last is written along with what comes next, so a little may be missing.
			had := first.state.all()
			require.GreaterOrEqual(t, len(had), 58)
			require.Equal(t, all[:len(had)], had)
			r.start(2)
			r.start(3)
			r.agree(all, 1, 2, 3)
			r.nodes[3].propose("again")
			r.agree(append(all, "again"), 1, 2, 3)
			r.stopAll()
		})
	}
}

func TestFarBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		r.tune = func(o *Options) { o.SnapshotEntries, o.TrailingEntries, o.SnapshotInterval = 20, 5, time.Second }
		r.found(3)
		defer r.stopAll()
		r.nodes[1].propose("first")
		r.agree([]string{"first"}, 1, 2, 3)
		behind := 1
		if r.leader().n == 1 {
			behind = 2
		}
		r.nodes[behind].kill()
		all := commands(1, 100)
		for _, c := range all {
			r.nodes[3].propose(c)
		}
		leader := r.leader(slices.DeleteFunc([]int{1, 2, 3}, func(n int) bool { return n == behind })...)
		until(t, "the log to be shortened", func() bool {
			first, err := leader.store.FirstIndex()
			return err == nil && first > 50
		})
		r.start(behind)
		all = append([]string{"first"}, all...)
		r.agree(all, 1, 2, 3)
		require.NotNil(t, r.nodes[behind].store.snapshots.newest.meta)

		// And again, from what it has received.
		r.nodes[behind].stop()
		require.Equal(t, all, r.start(behind).state.all())
		r.nodes[behind].propose("last")
		r.agree(append(all, "last"), 1, 2, 3)
	})
}

func TestLostQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		r.found(3)
		defer r.stopAll()
		r.nodes[1].propose("before")
		r.agree([]string{"before"}, 1, 2, 3)
		r.nodes[2].kill()
		r.nodes[3].kill()
		for range 2 {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			began := time.Now()
			_, err := r.nodes[1].Propose(ctx, "list", []byte("lost"))
			cancel()
			require.True(t, errors.Is(err, ErrLost) || errors.Is(err, ErrNoLeader), "%v", err)
			require.LessOrEqual(t, time.Since(began), 5*time.Second)
		}
		require.Equal(t, []string{"before"}, r.nodes[1].state.all())
		until(t, "the leader to step down", func() bool { _, ok := r.nodes[1].Leader(); return !ok && !r.nodes[1].Leading() })
		r.start(2)
		r.nodes[2].propose("after")
		until(t, "the proposal", func() bool { return slices.Contains(r.nodes[1].state.all(), "after") })
	})
}

// A node that ends in order hands over first, so that there is a leader again at once.
func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		leader := r.found(3)
		defer r.stopAll()
		leader.stop()
		began := time.Now()
		var others []int
		for n := range r.nodes {
			if n != leader.n {
				others = append(others, n)
			}
		}
		r.leader(others...)
		require.Less(t, time.Since(began), time.Second)
		r.start(leader.n)
		r.nodes[leader.n].propose("back")
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		r.tune = func(o *Options) { o.MaxCommandBytes, o.MaxProposals = 100, 2 }
		leader := r.found(2)
		defer r.stopAll()
		follower := r.nodes[3-leader.n]
		ctx := context.Background()
		for _, x := range []*node{leader, follower} {
			_, err := x.Propose(ctx, "nobody's", nil)
			require.ErrorIs(t, err, ErrUnknownState)
			_, err = x.Propose(ctx, "list", make([]byte, 101))
			require.ErrorIs(t, err, ErrTooLarge)
		}
		// The leader looks for itself.
		for request, want := range map[string]error{
			string(appendRequest(nil, propose, appendCommand(nil, "list", make([]byte, 101)))): ErrTooLarge,
			string(appendRequest(nil, propose, appendCommand(nil, "nobody's", nil))):           ErrUnknownState,
		} {
			response, err := leader.Forwarded(ctx, []byte(request))
			require.NoError(t, err)
			_, err = decodeResponse(response)
			require.ErrorIs(t, err, want)
		}
		response, err := follower.Forwarded(ctx, appendRequest(nil, propose, appendCommand(nil, "list", []byte("x"))))
		require.NoError(t, err)
		_, err = decodeResponse(response)
		require.ErrorIs(t, err, ErrNoLeader)
		for _, bad := range [][]byte{nil, {version}, {9, propose}, {version, 7}, {version, propose, 9}} {
			_, err = leader.Forwarded(ctx, bad)
			require.Error(t, err)
		}

		follower.host.setDown(true)
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		lost := make(chan error, 2)
		for range 2 {
			go func() { _, err := leader.Propose(ctx, "list", []byte("x")); lost <- err }()
		}
		synctest.Wait()
		_, err = leader.Propose(ctx, "list", []byte("one too many"))
		require.ErrorIs(t, err, ErrBusy)
		require.ErrorIs(t, <-lost, ErrLost)
		require.ErrorIs(t, <-lost, ErrLost)
		follower.host.setDown(false)
		require.Empty(t, leader.places)
	})
}

func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		x := r.found(1)
		r.stopAll()
		_, err := x.Propose(context.Background(), "list", []byte("x"))
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, x.SetServers(context.Background(), x.Servers()), ErrNotLeader)
		require.Error(t, x.Run(context.Background()))
		require.ErrorIs(t, x.Bootstrap([]Server{{ID: id(1), Addr: addr(1), Voter: true}}), ErrClosed)
	})
}

func TestBootstrapRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		r.start(1)
		defer r.stopAll()
		me := Server{ID: id(1), Addr: addr(1), Voter: true}
		for _, bad := range [][]Server{
			nil,
			{{ID: id(1), Addr: addr(1)}},
			{{ID: id(2), Addr: addr(2), Voter: true}},
			{me, {ID: id(1), Addr: addr(2)}},
			{me, {ID: id(2)}},
			{me, {Addr: addr(2)}},
		} {
			err := r.nodes[1].Bootstrap(bad)
			require.Error(t, err)
			require.NotErrorIs(t, err, ErrFounded)
		}
		until(t, "Raft to run", func() bool { return r.nodes[1].Bootstrap([]Server{me}) == nil })
		r.leader()
	})
}

// A node that can't read a command stops taking part rather than to do something else than the others.
func TestNewerCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		r.tune = func(o *Options) { o.States["list"].(*list).newer = o.ID != id(3) }
		r.found(3)
		if r.leader().n == 3 {
			r.nodes[3].kill()
			r.leader(1, 2)
			r.start(3)
			until(t, "node 3 to follow", func() bool { l, ok := r.nodes[3].Leader(); return ok && l.ID != id(3) })
		}
		r.nodes[1].propose("newer than you know")
		err := <-r.nodes[3].done
		require.ErrorIs(t, err, errNewer)
		require.ErrorContains(t, err, `to "list": written by newer software: is another node's software newer?`)
		require.Empty(t, r.nodes[3].state.all())
		require.NoError(t, r.nodes[3].Close())
		delete(r.nodes, 3)
		r.nodes[2].propose("goes on")
		r.stopAll()
	})
}

// A node whose software does not know a state stops taking part, and says why.
func TestUnknownState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		r.tune = func(o *Options) {
			if o.ID == id(3) {
				delete(o.States, "other")
			}
		}
		r.found(3)
		if r.leader().n == 3 { // It does not know what to take.
			r.nodes[3].kill()
			r.leader(1, 2)
			r.start(3)
			until(t, "node 3 to follow", func() bool { l, ok := r.nodes[3].Leader(); return ok && l.ID != id(3) })
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := r.nodes[1].Propose(ctx, "other", []byte("new"))
		require.NoError(t, err)
		require.ErrorIs(t, <-r.nodes[3].done, ErrUnknownState)
		require.NoError(t, r.nodes[3].Close())
		delete(r.nodes, 3)
		r.nodes[2].propose("goes on")
		r.stopAll()
	})
}
