package node

import (
	"flag"
	"math"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/ingest/stream"
)

var updateDoubts = flag.Bool("update-doubts", false, "rewrite the fixture")

var (
	nodeA, nodeB, nodeC = placement.NodeID{1}, placement.NodeID{2}, placement.NodeID{3}
	doubtStart          = time.UnixMilli(1_700_000_000_000)
)

// look is one look of a test, by node a at epoch 9 with a fence at 7.
type look struct {
	now   time.Duration // since doubtStart
	nodes []placement.Node
	heard []stream.Heard
	open  bool // Writes that are shut out may still be acknowledged.
}

func (l look) at(d *doubts) bool {
	return d.look(sight{
		now: doubtStart.Add(l.now), self: nodeA, heard: l.heard, ahead: 10 * time.Minute,
		placement: &placement.Placement{Epoch: 9, Fence: 7, Nodes: l.nodes},
		shut:      func() bool { return !l.open },
	})
}

func heardOf(n placement.NodeID, d time.Duration) stream.Heard {
	return stream.Heard{Node: n, At: doubtStart.Add(d), Epoch: 8}
}

func behind(n placement.NodeID, d time.Duration) stream.Heard {
	return stream.Heard{Node: n, At: doubtStart.Add(d), Epoch: 8, Behind: true}
}

func by(epoch uint64, h stream.Heard) stream.Heard { h.Epoch = epoch; return h }

// back is an hour before some time.
func back(d time.Duration) int64 { return doubtStart.Add(d - doubtBack).UnixMilli() }

func TestDoubts(t *testing.T) {
	nodes := []placement.Node{{ID: nodeA}, {ID: nodeB}, {ID: nodeC}}
	b, c := func(d time.Duration) stream.Heard { return heardOf(nodeB, d) }, func(d time.Duration) stream.Heard { return heardOf(nodeC, d) }
	const s = time.Second
	var d doubts
	d.mu.at = math.MinInt64
	require.Empty(t, d.gaps())
	for _, step := range []struct {
		name string
		look
		from int64 // 0: no gap
	}{
		{"alone", look{nodes: nodes[:1]}, 0},
	} {
		require.False(t, step.at(&d), step.name)
	}
	d.mu.at = math.MinInt64 // As if it had no file.
	for _, step := range []struct {
		name string
		look
		from int64 // 0: no gap
	}{
		{"nobody was heard yet", look{now: 0, nodes: nodes}, math.MinInt64},
		{"one was heard", look{now: s, nodes: nodes, heard: []stream.Heard{b(s)}}, math.MinInt64},
		{"one keeps something", look{now: s, nodes: nodes, heard: []stream.Heard{b(s), behind(nodeC, s)}}, math.MinInt64},
		{"all are heard", look{now: 2 * s, nodes: nodes, heard: []stream.Heard{b(2 * s), c(1500 * time.Millisecond)}}, 0},
		{"one is silent", look{now: 3 * s, nodes: nodes, heard: []stream.Heard{b(3 * s), c(1500 * time.Millisecond)}}, back(1500 * time.Millisecond)},
		{"it is heard, but keeps something", look{now: 4 * s, nodes: nodes, heard: []stream.Heard{b(4 * s), behind(nodeC, 4*s)}}, back(1500 * time.Millisecond)},
		{"another is silent", look{now: 5 * s, nodes: nodes, heard: []stream.Heard{b(4 * s), behind(nodeC, 5*s)}}, back(1500 * time.Millisecond)},
		{"only the other", look{now: 6 * s, nodes: nodes, heard: []stream.Heard{b(4 * s), c(6 * s)}}, back(4 * s)},
		{"its new process", look{now: 7 * s, nodes: nodes, heard: []stream.Heard{b(4 * s), b(7 * s), c(7 * s)}}, 0},
		{"one writes by a placement that is shut out", look{now: 9 * s, nodes: nodes, heard: []stream.Heard{by(6, b(9*s)), c(9 * s)}}, back(7 * s)},
		{"it has caught up", look{now: 10 * s, nodes: nodes, heard: []stream.Heard{by(7, b(10*s)), c(10 * s)}}, 0},
		{"one writes by a newer one, for a moment", look{now: 10500 * time.Millisecond, nodes: nodes, heard: []stream.Heard{by(10, b(10400*time.Millisecond)), c(10400 * time.Millisecond)}}, 0},
		{"one writes by a newer one", look{now: 12 * s, nodes: nodes, heard: []stream.Heard{by(10, b(12*s)), c(12 * s)}}, back(10 * s)},
		{"all are well", look{now: 13 * s, nodes: nodes, heard: []stream.Heard{b(13 * s), c(13 * s)}}, 0},
		{"a new one", look{now: 13 * s, nodes: append(nodes[:3:3], placement.Node{ID: placement.NodeID{4}}), heard: []stream.Heard{b(13 * s), c(13 * s)}}, back(13 * s)},
	} {
		before := d.gaps()
		changed := step.at(&d)
		gaps := d.gaps()
		if step.from == 0 {
			require.Empty(t, gaps, step.name)
		} else {
			require.Equal(t, []stretch{{step.from, math.MaxInt64}}, gaps, step.name)
		}
		require.Equal(t, len(before) != len(gaps) || len(gaps) > 0 && before[0] != gaps[0], changed, step.name)
		require.Equal(t, changed, d.news(), step.name)
		require.False(t, d.news())
	}
}

// What a node kept that is given up, or removed, is lost: until then nobody knows, and after it somebody has
// to repair it.
func TestDoubtsOfTheGone(t *testing.T) {
	nodes := []placement.Node{{ID: nodeA}, {ID: nodeB}}
	lost := []placement.Node{{ID: nodeA}, {ID: nodeB, State: placement.Lost}}
	const s = time.Second
	heard := func(d time.Duration) []stream.Heard { return []stream.Heard{heardOf(nodeB, d)} }
	open := []stretch{{back(s), math.MaxInt64}}
	for name, gone := range map[string][]placement.Node{"lost": lost, "removed": nodes[:1]} {
		t.Run(name, func(t *testing.T) {
			var d doubts
			look{now: s, nodes: nodes, heard: heard(s)}.at(&d)
			require.Empty(t, d.gaps())
			require.True(t, look{now: 300 * s, nodes: nodes}.at(&d))
			require.Equal(t, open, d.gaps())
			require.False(t, look{now: 301 * s, nodes: gone, open: true}.at(&d), "others may still write for it")
			require.Equal(t, open, d.gaps())
			require.True(t, look{now: 302 * s, nodes: gone}.at(&d))
			end := doubtStart.Add(302*s + 10*time.Minute).UnixMilli()
			want := []stretch{{back(s), end}}
			require.Equal(t, want, d.gaps())
			require.True(t, d.unsaved())
			require.False(t, look{now: 400 * s, nodes: gone}.at(&d), "once")
			require.Equal(t, want, d.gaps())
			// It is back.
			require.True(t, look{now: 500 * s, nodes: nodes}.at(&d))
			require.Len(t, d.gaps(), 2)
			look{now: 501 * s, nodes: nodes, heard: heard(501 * s)}.at(&d)
			require.Equal(t, want, d.gaps())
		})
	}
}

// A node that leaves while it is heard to keep nothing, and knows that it is given up, took nothing with it.
func TestDoubtsOfWhoLeft(t *testing.T) {
	var d doubts
	heard := []stream.Heard{heardOf(nodeB, time.Second)}
	look{now: time.Second, nodes: []placement.Node{{ID: nodeA}, {ID: nodeB}}, heard: heard}.at(&d)
	look{now: time.Second, nodes: []placement.Node{{ID: nodeA}}, heard: heard}.at(&d)
	require.Empty(t, d.gaps())
	require.Empty(t, d.mu.about)
}

// What was trusted outlives a restart, and what is lost.
func TestDoubtsAreKept(t *testing.T) {
	nodes := []placement.Node{{ID: nodeA}, {ID: nodeB}, {ID: nodeC}}
	fs, now := vfs.NewMem(), doubtStart
	var d, again, lostFile, damaged, fresh doubts
	require.NoError(t, d.load(fs, "doubts.json", true, now))
	look{now: time.Second, nodes: nodes[:2], heard: []stream.Heard{heardOf(nodeB, time.Second)}}.at(&d)
	look{now: 5 * time.Second, nodes: nodes[:2]}.at(&d)
	require.NoError(t, d.save(fs, "doubts.json"))
	require.False(t, d.unsaved())

	require.NoError(t, again.load(fs, "doubts.json", false, now.Add(time.Hour)))
	look{now: time.Hour, nodes: nodes, heard: []stream.Heard{heardOf(nodeC, time.Hour)}}.at(&again)
	require.Equal(t, []stretch{{back(time.Second), math.MaxInt64}}, again.gaps())
	look{now: time.Hour, nodes: nodes}.at(&again)

	again = doubts{}
	require.NoError(t, again.load(fs, "doubts.json", false, now.Add(time.Hour)))
	look{now: time.Hour, nodes: nodes, heard: []stream.Heard{heardOf(nodeB, time.Hour)}}.at(&again)
	require.Equal(t, []stretch{{back(5 * time.Second), math.MaxInt64}}, again.gaps(), "c came while it was away")

	require.NoError(t, lostFile.load(fs, "other", false, now))
	look{now: time.Second, nodes: nodes}.at(&lostFile)
	require.Equal(t, []stretch{{math.MinInt64, math.MaxInt64}}, lostFile.gaps())
	require.NoError(t, fresh.load(fs, "other", true, now))
	look{now: time.Second, nodes: nodes}.at(&fresh)
	require.Equal(t, []stretch{{back(0), math.MaxInt64}}, fresh.gaps())

	f, err := fs.Create("damaged", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Error(t, damaged.load(fs, "damaged", false, now))
	look{now: time.Second, nodes: nodes}.at(&damaged)
	require.Equal(t, []stretch{{math.MinInt64, math.MaxInt64}}, damaged.gaps())
}

func someDoubts() doubted {
	return doubted{
		at:    1_700_000_000_000,
		about: map[placement.NodeID]doubt{{0xde, 0xad}: {1_699_999_990_000, true}, {0xbe, 0xef}: {1_699_999_999_900, false}},
		lost:  []stretch{{1_699_996_390_000, 1_700_000_600_000}},
	}
}

func TestDoubtsFile(t *testing.T) {
	const name = "testdata/doubts.v1.json"
	if *updateDoubts {
		require.NoError(t, os.WriteFile(name, someDoubts().encode(), 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(want), string(someDoubts().encode()))
	decoded, err := decodeDoubts(want)
	require.NoError(t, err)
	require.Equal(t, someDoubts(), decoded)
}

func FuzzDecodeDoubts(f *testing.F) {
	f.Add(someDoubts().encode())
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"nodes":{"x":{}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := decodeDoubts(text)
		if err != nil {
			return
		}
		again, err := decodeDoubts(d.encode())
		require.NoError(t, err)
		require.Equal(t, d, again)
	})
}

func TestJoinedStretches(t *testing.T) {
	list := []stretch{{50, 60}, {1, 5}, {4, 9}, {20, 30}, {12, 13}}
	require.Equal(t, []stretch{{1, 9}, {12, 13}, {20, 30}, {50, 60}}, joined(append([]stretch(nil), list...), 4))
	require.Equal(t, []stretch{{1, 30}, {50, 60}}, joined(append([]stretch(nil), list...), 2))
}
