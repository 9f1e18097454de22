package consensus

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

// The power of all nodes goes while proposals are under way. What was acknowledged is there after.
func TestPowerLoss(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			r := newRegion(t)
			r.tune = func(o *Options) { o.SnapshotEntries, o.TrailingEntries, o.SnapshotInterval = 20, 5, time.Second }
			r.found(3)
			var acked []string
			for round := range 4 {
				r.leader()
				for i := range 15 {
					c := fmt.Sprintf("%d-%d", round, i)
					r.nodes[1+rng.IntN(3)].propose(c)
					acked = append(acked, c)
				}
				time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				var unsure atomic.Bool
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, err := r.nodes[1].Propose(ctx, "list", fmt.Appendf(nil, "%d unsure", round))
					unsure.Store(err != nil)
				}()
				after := map[int]vfs.FS{}
				for n, x := range r.nodes {
					after[n] = x.fs.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
				}
				cancel()
				<-ended
				r.stopAll()
				for n := 1; n <= 3; n++ {
					r.nodes[n].fs = after[n]
					r.start(n)
				}
				r.leader()
				for n := 1; n <= 3; n++ {
					until(t, "what was acknowledged", func() bool { return contains(r.nodes[n].state.all(), acked) })
				}
				acked = r.leader().state.all()
				r.agree(acked, 1, 2, 3)
			}
			r.stopAll()
		})
	}
}

// contains says whether all of part are in whole, in their order.
func contains(whole, part []string) bool {
	for _, w := range whole {
		if len(part) > 0 && w == part[0] {
			part = part[1:]
		}
	}
	return len(part) == 0
}

// A disk that fails ends this node's part in consensus with an error, and nothing else.
func TestDiskFails(t *testing.T) {
	for _, op := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileWriteAt} {
		for _, victim := range []string{"leader", "follower"} {
			synctest.Test(t, func(t *testing.T) {
				r := newRegion(t)
				var failing [4]atomic.Bool
				r.tune = func(o *Options) {
					n := o.ID[0]
					o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(at errorfs.Op) error {
						if failing[n].Load() && at.Kind == op && !strings.Contains(at.Path, "MANIFEST") {
							return errRefused
						}
						return nil
					}))
				}
				leader := r.found(3)
				defer r.stopAll()
				r.nodes[1].propose("before")
				r.agree([]string{"before"}, 1, 2, 3)
				n := leader.n
				if victim == "follower" {
					n = 1 + n%3
				}
				failing[n].Store(true)
				healthy := r.nodes[1+n%3]
				until(t, "a proposal", func() bool {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					defer cancel()
					_, err := healthy.Propose(ctx, "list", []byte("after"))
					return err == nil
				})
				x := r.nodes[n]
				x.gone = true
				err := <-x.done
				_ = x.Close()                                                                 // Pebble says again what it could not write.
				require.ErrorContains(t, err, errRefused.Error(), "%v of the %s", op, victim) // Pebble passes on its text only.
				require.Equal(t, []string{"before"}, x.state.all()[:1])
			})
		}
	}
}

// The disk of the leader, or of a follower, is full to the brim. Another leads and the others go on; when
// there is room again the node is one of them, and has lost nothing.
func TestDiskIsFull(t *testing.T) {
	for _, victim := range []string{"leader", "follower"} {
		t.Run(victim, func(t *testing.T) {
			r := newRegion(t)
			var full [4]atomic.Bool
			r.tune = func(o *Options) {
				n := o.ID[0]
				o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(at errorfs.Op) error {
					switch at.Kind {
					case errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpCreate:
						if full[n].Load() {
							return syscall.ENOSPC
						}
					}
					return nil
				}))
			}
			leader := r.found(3)
			defer r.stopAll()
			r.nodes[1].propose("before")
			r.agree([]string{"before"}, 1, 2, 3)
			n := leader.n
			if victim == "follower" {
				n = 1 + n%3
			}
			full[n].Store(true)
			defer full[n].Store(false)
			healthy := r.nodes[1+n%3]
			until(t, "a proposal", func() bool {
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				defer cancel()
				_, err := healthy.Propose(ctx, "list", []byte("after"))
				return err == nil
			})
			require.Equal(t, []string{"before"}, r.nodes[n].state.all())
			full[n].Store(false)
			until(t, "the node has it too", func() bool { return slices.Contains(r.nodes[n].state.all(), "after") })
			l := r.leader()
			l.propose("last")
			until(t, "all agree", func() bool {
				a, b, c := r.nodes[1].state.all(), r.nodes[2].state.all(), r.nodes[3].state.all()
				return slices.Equal(a, b) && slices.Equal(b, c) && slices.Contains(a, "last")
			})
		})
	}
}

func TestRestoreIsAllOrNothing(t *testing.T) {
	a, b := &list{entries: []string{"a"}}, &list{entries: []string{"b"}}
	f := &fsm{states: map[string]State{"a": a, "b": b}, max: 1000, failure: newFailure(), store: &store{}, changed: func() {}}
	good := appendStates(nil, map[string][]byte{"a": []byte("x"), "b": []byte("y")})
	b.refuse = errRefused
	require.ErrorIs(t, f.restore(good), errRefused)
	require.Equal(t, []string{"a"}, a.all())
	require.Equal(t, []string{"b"}, b.all())
	b.refuse = nil
	require.NoError(t, f.restore(good))
	require.Equal(t, []string{"x"}, a.all())
	require.Equal(t, []string{"y"}, b.all())
	// A state that is not in it is as it was at first.
	require.NoError(t, f.restore(appendStates(nil, map[string][]byte{"a": []byte("z")})))
	require.Empty(t, b.all())
	require.NoError(t, f.failure.get())
	require.ErrorIs(t, f.Restore(io.NopCloser(bytes.NewReader(appendStates(nil, map[string][]byte{"c": nil})))), ErrUnknownState)
	require.ErrorIs(t, f.failure.get(), ErrUnknownState)
	require.Equal(t, []string{"z"}, a.all())
	require.ErrorIs(t, f.Apply(&raft.Log{Index: 9, Type: raft.LogCommand, Data: sampleCommand}).(error), ErrUnknownState)
	_, err := f.Snapshot()
	require.ErrorIs(t, err, ErrUnknownState)
}

func TestSnapshotIsBounded(t *testing.T) {
	f := &fsm{states: map[string]State{"a": &list{entries: []string{strings.Repeat("x", 1000)}}}, max: 1000}
	_, err := f.Snapshot()
	require.ErrorIs(t, err, ErrTooLarge)
	f.max = 1100
	s, err := f.Snapshot()
	require.NoError(t, err)
	require.LessOrEqual(t, len(s.(frozen)), f.max)
	f.replayed = 5
	_, err = f.Snapshot()
	require.ErrorIs(t, err, raft.ErrNothingNewToSnapshot)
}

// Another node can't send without end.
func TestConnectionIsBounded(t *testing.T) {
	o := Options{ID: id(1), MaxSnapshotBytes: 1000, MaxCommandBytes: 1}
	l := newLayer(&o, nil)
	o.Listener = (&network{}).listen(addr(1))
	l.Listener = o.Listener
	here, there := net.Pipe()
	c, err := l.track(here, true)
	require.NoError(t, err)
	go func() {
		_, _ = there.Write(make([]byte, 2*l.limit))
		_ = there.Close()
	}()
	n, err := io.Copy(io.Discard, c)
	require.ErrorIs(t, err, ErrTooLarge)
	require.LessOrEqual(t, n, l.limit)
	l.stop()
	require.NoError(t, c.Close())
	l.served.Wait()
	other, _ := net.Pipe()
	_, err = l.track(other, false)
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := newLogger(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))
		l.Debug("not this")
		l.With("node", 1).Info("started", "error", errRefused)
		for range 5 {
			l.Error("peer is away", "peer", "x")
			time.Sleep(3 * time.Second)
		}
		require.Equal(t, `level=INFO msg=started node=1 error="not with me"
level=ERROR msg="peer is away" peer=x
level=ERROR msg="peer is away" peer=x skipped=3
`, b.String())
	})
}

// What a group costs while nothing happens, and that it is little.
func TestIdleTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		leader := r.found(3)
		defer r.stopAll()
		time.Sleep(10 * time.Second)
		before := leader.host.bytes.Load()
		time.Sleep(100 * time.Second)
		perSecond := float64(leader.host.bytes.Load()-before) / 100 / 2
		t.Logf("%.0f bytes per second between the leader and each other node", perSecond)
		require.Less(t, perSecond, 4096.0)
		require.Equal(t, leader.n, r.leader().n)
	})
}
