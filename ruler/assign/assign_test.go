package assign_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ruler/assign"
	"github.com/barograph-db/barograph/ruler/rules"
)

func nodes(leader string, ids ...string) (ms []assign.Member) {
	for _, id := range ids {
		ms = append(ms, assign.Member{ID: id, Alive: true, Leading: id == leader})
	}
	return ms
}

// groups have names, owners and loads in turns.
func groups(args ...any) (gs []assign.Group) {
	for i := 0; i < len(args); i += 3 {
		gs = append(gs, assign.Group{Key: rules.Key{Name: args[i].(string)}, Owner: args[i+1].(string), Load: args[i+2].(float64)})
	}
	return gs
}

func TestNext(t *testing.T) {
	dead := nodes("b", "a", "b", "c")
	dead[0].Alive = false
	stalled := nodes("b", "a", "b", "c")
	stalled[0].Stalled = true
	allStall := nodes("a", "a")
	allStall[0].Stalled = true
	for name, c := range map[string]struct {
		groups  []assign.Group
		members []assign.Member
		want    map[string]string
	}{
		"nobody":                          {groups("x", "", .1), nil, nil},
		"the leader has all":              {groups("x", "", .1, "y", "", .1), nodes("b", "a", "b"), map[string]string{"x": "b", "y": "b"}},
		"who has some gets the next":      {groups("x", "a", .1, "y", "", .1), nodes("b", "a", "b"), map[string]string{"y": "a"}},
		"a new leader takes nothing":      {groups("x", "a", .1), nodes("b", "a", "b"), nil},
		"the dead lose theirs":            {groups("x", "a", .1, "y", "c", .1), dead, map[string]string{"x": "c"}},
		"so do those that stall":          {groups("x", "a", .1), stalled, map[string]string{"x": "b"}},
		"but not if all do":               {groups("x", "a", .1), allStall, nil},
		"an unknown node has none":        {groups("x", "gone", .1), nodes("a", "a"), map[string]string{"x": "a"}},
		"more than one carries is spread": {groups("x", "", .4, "y", "", .3, "z", "", .2), nodes("a", "a", "b"), map[string]string{"x": "a", "y": "b", "z": "b"}},
		"too much is evened out":          {groups("x", "a", .4, "y", "a", .3, "z", "a", .2), nodes("a", "a", "b"), map[string]string{"x": "b"}},
		"one that is too large stays":     {groups("x", "a", 3.0), nodes("a", "a", "b"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got map[string]string
			for _, ch := range assign.Next(c.groups, c.members, true) {
				if got == nil {
					got = map[string]string{}
				}
				got[ch.Key.Name] = ch.Owner
			}
			require.Equal(t, c.want, got)
		})
	}
}

// Whatever there was, each group has an able owner afterwards, and nothing is left to be done.
func TestNextSettles(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var members []assign.Member
		for i := range 1 + rnd.IntN(6) {
			members = append(members, assign.Member{
				ID: fmt.Sprint("n", i), Alive: i == 0 || rnd.IntN(4) > 0, Stalled: i > 0 && rnd.IntN(6) == 0, Leading: i == 0,
			})
		}
		able := map[string]bool{}
		for _, m := range members {
			able[m.ID] = m.Alive && !m.Stalled
		}
		all := make([]assign.Group, rnd.IntN(60))
		scale := rnd.Float64() * .2
		for i := range all {
			all[i] = assign.Group{Key: rules.Key{Name: fmt.Sprint(i)}, Owner: fmt.Sprint("n", rnd.IntN(8)), Load: rnd.Float64() * scale}
		}
		place := map[rules.Key]int{}
		for i, g := range all {
			place[g.Key] = i
		}
		for _, c := range assign.Next(all, members, true) {
			all[place[c.Key]].Owner = c.Owner
		}
		for _, g := range all {
			require.True(t, able[g.Owner], "seed %d", seed)
		}
		require.Empty(t, assign.Next(all, members, true), "seed %d", seed)
	}
}
