package node

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/ingest/stream"
)

func TestDoubts(t *testing.T) {
	a, b, c := placement.NodeID{1}, placement.NodeID{2}, placement.NodeID{3}
	nodes := []placement.Node{{ID: a}, {ID: b}, {ID: c}}
	start := time.UnixMilli(1_700_000_000_000)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	heard := func(n placement.NodeID, d time.Duration) stream.Heard { return stream.Heard{Node: n, At: at(d)} }
	behind := func(n placement.NodeID, d time.Duration) stream.Heard {
		return stream.Heard{Node: n, At: at(d), Behind: true}
	}
	back := func(d time.Duration) int64 { return at(d - doubtBack).UnixMilli() }
	var d doubts
	_, ok := d.gap()
	require.False(t, ok)
	for _, step := range []struct {
		name  string
		now   time.Duration
		nodes []placement.Node
		heard []stream.Heard
		from  int64 // 0: no gap
	}{
		{"alone", 0, nodes[:1], nil, 0},
		{"nobody was heard yet", 0, nodes, nil, math.MinInt64},
		{"one was heard", time.Second, nodes, []stream.Heard{heard(b, time.Second)}, math.MinInt64},
		{"one keeps something", time.Second, nodes, []stream.Heard{heard(b, time.Second), behind(c, time.Second)}, math.MinInt64},
		{"all are heard", 2 * time.Second, nodes, []stream.Heard{heard(b, 2*time.Second), heard(c, 1500*time.Millisecond)}, 0},
		{"one is silent", 3 * time.Second, nodes, []stream.Heard{heard(b, 3*time.Second), heard(c, 1500*time.Millisecond)}, back(1500 * time.Millisecond)},
		{"it is heard, but keeps something", 4 * time.Second, nodes, []stream.Heard{heard(b, 4*time.Second), behind(c, 4*time.Second)}, back(1500 * time.Millisecond)},
		{"another is silent", 5 * time.Second, nodes, []stream.Heard{heard(b, 4*time.Second), behind(c, 5*time.Second)}, back(1500 * time.Millisecond)},
		{"only the other", 6 * time.Second, nodes, []stream.Heard{heard(b, 4*time.Second), heard(c, 6*time.Second)}, back(4 * time.Second)},
		{"its new process", 7 * time.Second, nodes, []stream.Heard{heard(b, 4*time.Second), heard(b, 7*time.Second), heard(c, 7*time.Second)}, 0},
		{"it is given up", 8 * time.Second, []placement.Node{nodes[0], {ID: b, State: placement.Lost}, nodes[2]}, []stream.Heard{heard(c, 8*time.Second)}, 0},
		{"it is gone", 8 * time.Second, nodes[:2], []stream.Heard{heard(b, 8*time.Second)}, 0},
	} {
		before, had := d.gap()
		changed := d.look(at(step.now), a, step.nodes, step.heard)
		from, ok := d.gap()
		require.Equal(t, step.from != 0, ok, step.name)
		if ok {
			require.Equal(t, step.from, from, step.name)
		}
		require.Equal(t, had != ok || ok && from != before, changed, step.name)
		require.Equal(t, changed, d.news(), step.name)
		require.False(t, d.news())
		_, ok = d.orphaned()
		require.False(t, ok, "%s: nobody was given up that was doubted", step.name)
	}
}

// What was doubted of a node until it was given up is not forgotten.
func TestOrphanedDoubts(t *testing.T) {
	a, b, c := placement.NodeID{1}, placement.NodeID{2}, placement.NodeID{3}
	nodes := []placement.Node{{ID: a}, {ID: b}, {ID: c}}
	lost := []placement.Node{{ID: a}, {ID: b, State: placement.Lost}, {ID: c}}
	start := time.UnixMilli(1_700_000_000_000)
	heard := func(n placement.NodeID, d time.Duration) stream.Heard {
		return stream.Heard{Node: n, At: start.Add(d)}
	}
	var d doubts
	d.look(start, a, nodes, []stream.Heard{heard(b, 0), heard(c, 0)})
	d.look(start.Add(time.Minute), a, nodes, []stream.Heard{heard(c, time.Minute)})
	_, ok := d.orphaned()
	require.False(t, ok, "it may come back")
	require.True(t, d.look(start.Add(2*time.Minute), a, lost, []stream.Heard{heard(c, 2*time.Minute)}))
	_, ok = d.gap()
	require.False(t, ok)
	from, ok := d.orphaned()
	require.True(t, ok)
	require.Equal(t, start.Add(-doubtBack).UnixMilli(), from)
	_, ok = d.orphaned()
	require.False(t, ok, "it was told")

	var never doubts
	never.look(start, a, nodes, []stream.Heard{heard(c, 0)})
	never.look(start, a, lost[:1], nil)
	from, ok = never.orphaned()
	require.True(t, ok)
	require.EqualValues(t, math.MinInt64, from, "it was never heard")
}
