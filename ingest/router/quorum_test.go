package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// holder keeps answers back until it is told to give them.
type holder struct {
	mu      sync.Mutex
	answers []func()
	came    chan struct{}
}

func hold(p *peer) *holder {
	h := &holder{came: make(chan struct{}, 1000)}
	p.set(func(p *peer) {
		p.later = func(done func()) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.answers = append(h.answers, done)
			h.came <- struct{}{}
		}
	})
	return h
}

func (h *holder) give() {
	h.mu.Lock()
	answers := h.answers
	h.answers = nil
	h.mu.Unlock()
	for _, a := range answers {
		a()
	}
}

// failedNodes are the names in a QuorumError, which err must be.
func failedNodes(t *testing.T, err error) []string {
	t.Helper()
	var e *ingest.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 503, e.Reason.Status())
	var q *QuorumError
	require.ErrorAs(t, err, &q)
	var names []string
	for _, f := range q.Failures {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

// One of three replicas may fail in any way. It missed what the others acknowledged.
func TestOneReplicaFails(t *testing.T) {
	var wg sync.WaitGroup
	for name, change := range map[string]func(*peer){
		"gone":    func(p *peer) { p.gone = true },
		"refuses": func(p *peer) { p.refuse = errFake },
		"fails":   func(p *peer) { p.err = errFake },
		"fails later": func(p *peer) {
			p.err = errFake
			p.later = func(done func()) { wg.Go(done) }
		},
	} {
		for _, nodes := range []int{3, 5} { // The frame is whole, and it is dealt out.
			t.Run(fmt.Sprintf("%s of %d", name, nodes), func(t *testing.T) {
				p := found(t, 3, nodes, 1)
				g := newRegion(t, p, nil)
				g.peers[id(1)].set(change)
				refs := g.refs(t, sets(100)...)
				f := randomFrameOf(refs)
				want := wantOf(g, p, f)
				_, err := g.write(t, f)
				require.NoError(t, err)
				wg.Wait()
				for i := range nodes {
					if i == 1 {
						require.Empty(t, g.has(id(i)))
						require.Equal(t, want[id(i)], g.missed.held[id(i)])
					} else {
						require.Equal(t, want[id(i)], g.has(id(i)))
					}
				}
				require.Equal(t, 1.0, testutil.ToFloat64(g.metrics.missed))
				require.Equal(t, 1.0, testutil.ToFloat64(g.metrics.remote.failures))
			})
		}
	}
}

// The own node with a full disk is a replica that lacks a frame.
func TestOwnNodeFails(t *testing.T) {
	p := found(t, 3, 3, 1)
	g := newRegion(t, p, nil)
	refs := g.refs(t, sets(20)...)
	_, err := g.write(t, floats(1, refs...))
	require.NoError(t, err)
	g.own.fail(errFake)
	refs = append(refs, g.refs(t, series.FromStrings("new", "one"))...)
	_, err = g.write(t, floats(2, refs...))
	require.NoError(t, err)
	require.Len(t, g.own.has(), 20)
	require.Len(t, g.has(id(1)), 41)
	require.Len(t, g.missed.held[id(0)], 21)
	require.Equal(t, 1.0, testutil.ToFloat64(g.metrics.local.failures))

	one := newRegion(t, found(t, 1, 1, 1), nil)
	one.own.fail(errFake)
	_, err = one.write(t, floats(1, one.refs(t, sets(1)...)...))
	require.ErrorIs(t, err, errFake)
	require.Equal(t, []string{"a"}, failedNodes(t, err))
}

// What was not acknowledged is not told to Missed: its sender brings it again.
func TestTooFewReplicas(t *testing.T) {
	g := newRegion(t, found(t, 3, 3, 3), nil)
	refs := g.refs(t, sets(10)...)
	g.peers[id(1)].set(func(p *peer) { p.refuse = errFake })
	g.peers[id(2)].set(func(p *peer) { p.gone = true })
	_, err := g.write(t, floats(1, refs...))
	require.Equal(t, []string{"b", "c"}, failedNodes(t, err))
	require.ErrorIs(t, err, errFake)
	require.ErrorContains(t, err, "group 0 (shards 0-63): a ack, b fail, c fail: impossible 1 of 2, 1 of 2 zones")
	require.Empty(t, g.missed.frames)
	require.Equal(t, 1.0, testutil.ToFloat64(g.metrics.impossible))
	require.Len(t, g.own.has(), 10)
}

// A zone must not acknowledge alone: of two zones, the one with two replicas is not enough.
func TestZones(t *testing.T) {
	g := newRegion(t, found(t, 3, 3, 2), nil) // a and c share a zone.
	refs := g.refs(t, sets(10)...)
	g.peers[id(1)].set(func(p *peer) { p.err = errFake })
	_, err := g.write(t, floats(1, refs...))
	require.Equal(t, []string{"b"}, failedNodes(t, err))
	g.peers[id(1)].set(func(p *peer) { p.err = nil })
	g.peers[id(2)].set(func(p *peer) { p.err = errFake })
	_, err = g.write(t, floats(2, refs...))
	require.NoError(t, err)
}

// A replica that fills gets everything. It counts among those that are going to be whole, and not among
// those that are.
func TestFilling(t *testing.T) {
	joined := func(nodes int) *region {
		p, err := found(t, 3, nodes, 1).Join(fleet(nodes+1, 1)[nodes])
		require.NoError(t, err)
		p = p.Next(64)
		require.NotEmpty(t, p.Moves())
		return newRegion(t, p, nil)
	}
	g := joined(3)
	refs := g.refs(t, sets(100)...)
	g.peers[id(3)].set(func(p *peer) { p.err = errFake })
	f := randomFrameOf(refs)
	want := wantOf(g, g.routes.Load().table.Placement(), f)
	_, err := g.write(t, f)
	require.NoError(t, err)
	require.Equal(t, want[id(3)], g.missed.held[id(3)])
	g.peers[id(1)].set(func(p *peer) { p.err = errFake })
	_, err = g.write(t, floats(2, refs...))
	require.ElementsMatch(t, []string{"b", "d"}, failedNodes(t, err))

	g = joined(2)
	refs = g.refs(t, sets(100)...)
	g.peers[id(2)].set(func(p *peer) { p.err = errFake })
	_, err = g.write(t, floats(2, refs...))
	require.NoError(t, err)
	g.peers[id(2)].set(func(p *peer) { p.err = nil })
	g.peers[id(1)].set(func(p *peer) { p.err = errFake })
	_, err = g.write(t, floats(3, refs...))
	require.Equal(t, []string{"b"}, failedNodes(t, err), "c does not count in its place")
}

// Append does not wait for long for those that are late, and tells of what they may lack before it
// returns, and never again.
func TestLateAnswers(t *testing.T) {
	for _, nodes := range []int{3, 5} {
		for _, fails := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d nodes, fails %v", nodes, fails), func(t *testing.T) {
				p := found(t, 3, nodes, 1)
				g := newRegion(t, p, nil)
				late := hold(g.peers[id(1)])
				g.peers[id(1)].set(func(p *peer) {
					if fails {
						p.err = errFake
					}
				})
				refs := g.refs(t, sets(100)...)
				f := randomFrameOf(refs)
				want := wantOf(g, p, f)
				_, err := g.write(t, f)
				require.NoError(t, err)
				require.Equal(t, want[id(1)], g.missed.held[id(1)])
				// Others use the memory that is free meanwhile.
				for n := range 10 {
					_, err := g.write(t, floats(int64(1000+n), refs...))
					require.NoError(t, err)
				}
				require.Equal(t, 11, g.missed.frames[id(1)])
				first := late.answers[0]
				late.answers = late.answers[1:]
				first()
				if !fails {
					require.Equal(t, want[id(1)], g.has(id(1)))
				}
				late.give()
				require.Equal(t, 11, g.missed.frames[id(1)])
			})
		}
	}
}

// A write of which a replica may lack samples that nobody keeps for it is not acknowledged.
func TestMissedCannotBeKept(t *testing.T) {
	g := newRegion(t, found(t, 3, 3, 1), func(o *Options) {
		o.Missed = func(placement.NodeID, *frame.Frame, func(series.Ref) series.Labels) error { return errFake }
	})
	refs := g.refs(t, sets(10)...)
	_, err := g.write(t, floats(1, refs...))
	require.NoError(t, err)
	g.peers[id(1)].set(func(p *peer) { p.gone = true })
	_, err = g.write(t, floats(2, refs...))
	require.ErrorIs(t, err, errFake)
	require.Equal(t, ingest.StoreUnavailable, ingest.AsError(err).Reason)
	require.Equal(t, 1.0, testutil.ToFloat64(g.metrics.done))
	require.Equal(t, 1.0, testutil.ToFloat64(g.metrics.unkept))
}

func TestNobodyToTellOfMisses(t *testing.T) {
	g := newRegion(t, found(t, 3, 3, 1), func(o *Options) { o.Missed = nil })
	late := hold(g.peers[id(1)])
	refs := g.refs(t, sets(10)...)
	g.peers[id(1)].set(func(p *peer) { p.err = errFake })
	_, err := g.write(t, floats(1, refs...))
	require.NoError(t, err)
	late.give()
	g.peers[id(1)].set(func(p *peer) { p.gone = true })
	_, err = g.write(t, floats(2, refs...))
	require.NoError(t, err)
	require.Equal(t, 2.0, testutil.ToFloat64(g.metrics.missed))
}

func TestContextEnds(t *testing.T) {
	g := newRegion(t, found(t, 3, 3, 1), nil)
	b, c := hold(g.peers[id(1)]), hold(g.peers[id(2)])
	refs := g.refs(t, sets(10)...)
	cause := errors.New("the client left")
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error)
	go func() {
		_, err := g.Append(ctx, floats(1, refs...))
		failed <- err
	}()
	<-b.came
	<-c.came
	cancel(cause)
	err := <-failed
	require.ErrorIs(t, err, cause)
	require.Empty(t, failedNodes(t, err))
	require.ErrorContains(t, err, "a ack, b wait, c wait: pending 1 of 2")
	require.Equal(t, 1.0, testutil.ToFloat64(g.metrics.canceled))
	g.peers[id(1)].set(func(p *peer) { p.err = errFake })
	b.give()
	c.give()
	require.Empty(t, g.missed.frames)
}

// A sample is rejected when all whole replicas that answered say so.
func TestRejectedByAll(t *testing.T) {
	for _, nodes := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			p := found(t, 3, nodes, 1)
			g := newRegion(t, p, nil)
			all := sets(60)
			refs := g.refs(t, all...)
			old := func(ls string) bool {
				return slices.ContainsFunc(all[:20], func(l series.Labels) bool { return string(l) == ls })
			}
			some := func(ls string) bool {
				return slices.ContainsFunc(all[20:40], func(l series.Labels) bool { return string(l) == ls })
			}
			by := func(node int) func(string, int64) frame.Reason {
				return func(ls string, _ int64) frame.Reason {
					mine := p.Shards[series.Labels(ls).Fingerprint().Shard(p.Bits)]
					if old(ls) || nodes > 1 && some(ls) && mine[0].Node == id(node) {
						return frame.TooOld
					}
					return 0
				}
			}
			g.own.reject = by(0)
			for n, peer := range g.peers {
				peer.reject = by(int(n[15]))
			}
			f := floats(1, refs...)
			stale := refs[50]
			f.Refs[50] = stale + 1<<32 // Of a generation that never was.
			for i := range 20 {
				f.Histograms = append(f.Histograms, frame.Histogram{Ref: refs[i*3], T: 2, H: integers(1)})
				f.Exemplars = append(f.Exemplars, frame.Exemplar{Ref: refs[i*3], T: 3})
			}
			var want []frame.Rejected
			for i := range 100 {
				switch {
				case i == 50:
					want = append(want, frame.Rejected{Index: i, Reason: frame.UnknownRef})
				case i < 20 || i >= 60 && (i-60)%20*3 < 20:
					want = append(want, frame.Rejected{Index: i, Reason: frame.TooOld})
				}
			}
			rejected, err := g.write(t, f)
			require.NoError(t, err)
			require.Equal(t, want, rejected)
		})
	}
}

// A node that does not know a series lacks its samples: that is no acknowledgement.
func TestUnknownToANode(t *testing.T) {
	g := newRegion(t, found(t, 3, 3, 1), nil)
	refs := g.refs(t, sets(3)...)
	unknown := func(ls string, _ int64) frame.Reason {
		if ls == string(g.Labels(refs[1])) {
			return frame.UnknownRef
		}
		return 0
	}
	g.peers[id(1)].reject = unknown
	rejected, err := g.write(t, floats(1, refs...))
	require.NoError(t, err)
	require.Empty(t, rejected)
	require.Len(t, g.missed.held[id(1)], 3)
	g.peers[id(2)].reject = unknown
	_, err = g.write(t, floats(2, refs...))
	require.Equal(t, []string{"b", "c"}, failedNodes(t, err))
}

// A node that failed has no say in what is rejected.
func TestRejectedByThoseThatAnswered(t *testing.T) {
	g := newRegion(t, found(t, 3, 3, 1), nil)
	refs := g.refs(t, sets(3)...)
	reject := func(string, int64) frame.Reason { return frame.TooNew }
	g.own.reject, g.peers[id(2)].reject = reject, reject
	g.peers[id(1)].set(func(p *peer) { p.err = errFake })
	rejected, err := g.write(t, floats(1, refs...))
	require.NoError(t, err)
	require.Len(t, rejected, 3)
}
