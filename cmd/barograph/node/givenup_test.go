package node

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/series"
)

func nodeNumber(i int) placement.NodeID { return placement.NodeID{15: byte(i)} }

// placed is a placement of four shards, each on the nodes of one of the strings: digits are whole, and one
// behind a + fills.
func placed(epoch uint64, factor int, shards ...string) *placement.Placement {
	p := &placement.Placement{Epoch: epoch, Bits: 2, Factor: factor}
	for i := range 4 {
		p.Nodes = append(p.Nodes, placement.Node{ID: nodeNumber(i + 1), Weight: 1})
	}
	for _, s := range shards {
		var on []placement.Replica
		for i, c := range s {
			if c != '+' {
				on = append(on, placement.Replica{Node: nodeNumber(int(c - '0')), Filling: i > 0 && s[i-1] == '+'})
			}
		}
		p.Shards = append(p.Shards, on)
	}
	return p
}

// What the first node may drop, and when.
func TestGivenUp(t *testing.T) {
	everywhere := []int{0, 1, 2, 3}
	type look struct {
		after   time.Duration // the one before
		p       *placement.Placement
		bits    uint8  // of the storage
		held    []int  // nil: all
		before  uint32 // 0: 100
		known   uint64 // 0: the epoch
		newest  uint64 // 0: the epoch
		unsound int
		want    []int
		upTo    uint32
	}
	moved := placed(7, 2, "12", "23", "34", "14")
	const m = time.Minute
	for name, looks := range map[string][]look{
		"nothing moved":            {{p: placed(7, 2, "12", "13", "14", "12")}, {after: 60 * m, p: placed(7, 2, "12", "13", "14", "12")}},
		"after the hold time":      {{p: moved}, {after: 9 * m, p: moved}, {after: m, p: moved, before: 200, want: []int{1, 2}, upTo: 100}},
		"what came late":           {{p: moved, held: []int{1}}, {after: 10 * m, p: moved, held: []int{1}, before: 150, want: []int{1}, upTo: 100}, {after: m, p: moved, held: []int{1}, before: 160}, {after: 9 * m, p: moved, held: []int{1}, before: 170}, {after: m, p: moved, held: []int{1}, want: []int{1}, upTo: 160}},
		"only what is held":        {{p: moved, held: []int{0, 2}}, {after: 10 * m, p: moved, held: []int{0, 2}, want: []int{2}, upTo: 100}},
		"what came later waits":    {{p: moved, held: []int{1}}, {after: 5 * m, p: moved, before: 150}, {after: 5 * m, p: moved, want: []int{1}, upTo: 100}, {after: 5 * m, p: moved, held: []int{2}, want: []int{2}, upTo: 150}},
		"somebody knows later":     {{p: moved}, {after: 10 * m, p: moved, newest: 8}, {after: m, p: moved}, {after: 10 * m, p: moved, want: []int{1, 2}, upTo: 100}},
		"somebody knows less":      {{p: moved, known: 6}, {after: 20 * m, p: moved, known: 6}, {after: m, p: moved}, {after: 9 * m, p: moved, want: []int{1, 2}, upTo: 100}},
		"somebody is back":         {{p: moved}, {after: 5 * m, p: moved, known: 3, before: 120}, {after: 5 * m, p: moved, before: 130}, {after: 5 * m, p: moved, want: []int{1, 2}, upTo: 120}},
		"a later epoch is no news": {{p: moved}, {after: 5 * m, p: placed(9, 2, "12", "23", "34", "14")}, {after: 5 * m, p: placed(9, 2, "12", "23", "34", "14"), known: 8, want: []int{1, 2}, upTo: 100}},
		"a replica has a gap":      {{p: moved, unsound: 4}, {after: 20 * m, p: moved, unsound: 4, want: []int{1}, upTo: 100}},
		"too few replicas":         {{p: placed(7, 3, "123", "234", "34", "134")}, {after: 20 * m, p: placed(7, 3, "123", "234", "34", "134"), want: []int{1}, upTo: 100}},
		"one fills":                {{p: placed(7, 2, "12", "23+4", "34", "14")}, {after: 20 * m, p: placed(7, 2, "12", "23+4", "34", "14"), want: []int{2}, upTo: 100}},
		"it fills here":            {{p: placed(7, 2, "12", "23+1", "34", "14")}, {after: 20 * m, p: placed(7, 2, "12", "23+1", "34", "14"), want: []int{2}, upTo: 100}},
		"it came back":             {{p: moved}, {after: 5 * m, p: placed(8, 2, "12", "12", "34", "14")}, {after: 5 * m, p: placed(9, 2, "12", "23", "34", "14"), want: []int{2}, upTo: 100}, {after: 10 * m, p: placed(9, 2, "12", "23", "34", "14"), held: []int{1}, want: []int{1}, upTo: 100}},
		"storage has fewer shards": {{p: moved, bits: 1, held: []int{0, 1}}, {after: 20 * m, p: moved, bits: 1, held: []int{0, 1}}},
		"storage has more shards":  {{p: moved, bits: 3, held: []int{1, 2, 3, 4}}, {after: 20 * m, p: moved, bits: 3, held: []int{1, 2, 3, 4}, want: []int{2, 3, 4}, upTo: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			var g givenUp
			now := time.Unix(1_000_000, 0)
			for i, l := range looks {
				now = now.Add(l.after)
				or := func(v *uint64) {
					if *v == 0 {
						*v = l.p.Epoch
					}
				}
				or(&l.known)
				or(&l.newest)
				if l.held == nil {
					l.held = everywhere
				}
				if l.bits == 0 {
					l.bits = 2
				}
				if l.before == 0 {
					l.before = 100
				}
				held := &series.ShardSet{Bits: l.bits}
				for _, s := range l.held {
					held.Add(series.Shard(s))
				}
				d, ok := g.decide(situation{
					now: now, hold: dropHold, self: nodeNumber(1), placement: l.p, known: l.known, newest: l.newest,
					sound: func(id placement.NodeID) bool { return id != nodeNumber(l.unsound) },
					held:  storage.Holdings{Shards: held, Before: l.before},
				})
				require.Equal(t, l.want != nil, ok, "look %d", i)
				if !ok {
					continue
				}
				var got []int
				for s := range d.shards.All() {
					got = append(got, int(s))
				}
				slices.Sort(got)
				require.Equal(t, l.want, got, "look %d", i)
				require.Equal(t, l.upTo, d.before, "look %d", i)
			}
		})
	}
}

func TestLacks(t *testing.T) {
	p := placed(7, 2, "12", "23+1", "34", "14")
	set := func(bits uint8, shards ...series.Shard) *series.ShardSet {
		s := &series.ShardSet{Bits: bits}
		for _, shard := range shards {
			s.Add(shard)
		}
		return s
	}
	for _, c := range []struct {
		shards *series.ShardSet
		want   bool
	}{
		{set(2, 0, 3), false}, {set(2), false}, {set(2, 0, 1), true}, {set(2, 2), true}, {nil, true}, {set(3, 0), false}, {set(3, 2), true}, {set(1, 0), true},
	} {
		_, got := lacks(p, nodeNumber(1), c.shards)
		require.Equal(t, c.want, got)
	}
}
