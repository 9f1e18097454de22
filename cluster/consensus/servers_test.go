package consensus

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(got), 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// servers reads "1 2 3-": nodes 1 and 2 vote, node 3 does not.
func servers(text string) (all []Server) {
	for _, w := range strings.Fields(text) {
		var n int
		_, err := fmt.Sscanf(w, "%d", &n)
		if err != nil {
			panic(err)
		}
		all = append(all, Server{ID: id(n), Addr: addr(n), Voter: !strings.HasSuffix(w, "-")})
	}
	return all
}

func text(all []Server) string {
	var words []string
	for _, s := range all {
		w := fmt.Sprint(s.ID[0])
		if !s.Voter {
			w += "-"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// set has whoever leads make the servers those of text.
func (r *region) set(text string) {
	r.t.Helper()
	until(r.t, "the servers to be "+text, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		for _, x := range r.nodes {
			if x.gone || !x.Leading() {
				continue
			}
			err := x.SetServers(ctx, servers(text))
			if err == nil {
				return true
			}
			require.ErrorIs(r.t, err, ErrNotLeader)
		}
		return false
	})
}

func TestSetServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		r.found(1)
		defer r.stopAll()
		all := commands(1, 200)
		for _, c := range all {
			r.nodes[1].propose(c)
		}
		for n := 2; n <= 6; n++ {
			r.start(n)
		}
		for _, step := range []string{"1 2- 3-", "1 2 3", "1 2 3 4- 5- 6-", "1 2 3 4 5 6-", "1- 2 3 4 5- 6-", "2- 4", "4 1 3"} {
			r.set(step)
			want := servers(step)
			slices.SortFunc(want, byID)
			var among []int
			for _, s := range want {
				among = append(among, int(s.ID[0]))
				until(t, "all to know the servers", func() bool { return text(r.nodes[int(s.ID[0])].Servers()) == text(want) })
			}
			command := "with " + step
			r.nodes[among[len(among)-1]].propose(command)
			all = append(all, command)
			r.agree(all, among...)
		}
		require.Equal(t, "1 3 4", text(r.nodes[1].Servers()))
	})
}

func TestSetServersRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		leader := r.found(3)
		defer r.stopAll()
		ctx := context.Background()
		for _, bad := range []string{"", "1- 2-", "1 1", "1 2 2-"} {
			require.Error(t, leader.SetServers(ctx, servers(bad)), bad)
		}
		for n, x := range r.nodes {
			if n != leader.n {
				require.ErrorIs(t, x.SetServers(ctx, servers("1 2 3")), ErrNotLeader)
			}
		}
		// With one voter silent, no other may go; one that does not answer is not promoted.
		silent := 1 + leader.n%3
		last := 6 - silent - leader.n
		r.nodes[silent].kill()
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		err := leader.SetServers(ctx, servers(fmt.Sprintf("%d %d %d 4", silent, leader.n, last)))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "until it answers")
		ctx, cancel = context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = leader.SetServers(ctx, servers(fmt.Sprintf("%d %d", silent, leader.n)))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "only 1 of 2 voters would answer")
		require.NoError(t, leader.SetServers(context.Background(), servers(fmt.Sprintf("%d %d %d-", last, leader.n, silent))))
	})
}

// A node that comes back at another address is found by what gossip knows, and later by Raft itself.
func TestAddressChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegion(t)
		moved := map[placement.NodeID]string{}
		r.tune = func(o *Options) {
			o.Address = func(n placement.NodeID) (string, bool) { at, ok := moved[n]; return at, ok }
		}
		leader := r.found(3)
		defer r.stopAll()
		n := 1 + leader.n%3
		r.nodes[n].kill()
		time.Sleep(10 * time.Second)
		r.stopAll()
		moved[id(n)] = addr(9)
		for i := 1; i <= 3; i++ {
			r.start(i)
		}
		x := r.nodes[n]
		r.net.mu.Lock()
		delete(r.net.hosts, addr(n))
		x.host.addr = addr(9)
		r.net.hosts[addr(9)] = x.host
		r.net.mu.Unlock()
		x.propose("from elsewhere")
		r.agree([]string{"from elsewhere"}, 1, 2, 3)

		want := servers("1 2 3")
		want[n-1].Addr = addr(9)
		require.NoError(t, r.leader().SetServers(context.Background(), want))
		until(t, "the address to be known", func() bool { return slices.Equal(r.nodes[n].Servers(), want) })
	})
}

// The golden file shows what is done, step by step, to come from some servers to others.
func TestNextChange(t *testing.T) {
	var b strings.Builder
	for _, c := range []struct{ now, want, silent, behind string }{
		{"1", "1 2 3", "", ""},
		{"1 2- 3-", "1 2 3", "2", ""},
		{"1 2- 3-", "1 2 3", "", "2 3"},
		{"1 2 3", "1 2 3 4 5", "", ""},
		{"1 2 3 4 5", "1 2 3", "4 5", ""},
		{"1 2 3 4 5", "3 4 5", "", ""},
		{"1 2 3 4", "1 2 3", "4", ""},
		{"1 2 3", "1 2 4", "3", ""},
		{"1 2 3", "1 2 4 5-", "3", "4"},
		{"1 2 3", "1 2", "3", ""},
		{"1 2 3", "1 3", "3", ""},
		{"1 2 3 4-", "1 2 3", "4", ""},
		{"1", "2", "", ""},
	} {
		fmt.Fprintf(&b, "%s -> %s", c.now, c.want)
		if c.silent != "" {
			fmt.Fprintf(&b, ", %s silent", c.silent)
		}
		if c.behind != "" {
			fmt.Fprintf(&b, ", %s behind", c.behind)
		}
		b.WriteString("\n")
		now := servers(c.now)
		for range 20 {
			v := view{self: id(1), now: now, committed: 1000, applied: map[placement.NodeID]uint64{}}
			for n := range 9 {
				v.applied[id(n)] = 1000 - catchUpSlack
			}
			for _, s := range servers(c.behind) {
				v.applied[s.ID]--
			}
			for _, s := range servers(c.silent) {
				delete(v.applied, s.ID)
			}
			step := v.next(servers(c.want))
			now = after(now, step)
			line := step.String()
			for n := range 9 {
				line = strings.ReplaceAll(line, id(n).String(), fmt.Sprint(n))
			}
			fmt.Fprintf(&b, "  %-20s  %s\n", text(now), line)
			if step.kind == nothing || step.kind == wait || step.kind == resign {
				break
			}
		}
	}
	golden(t, "testdata/changes.txt", b.String())
}

// after is what a change makes of the servers.
func after(now []Server, c change) []Server {
	now = slices.Clone(now)
	i := slices.IndexFunc(now, func(s Server) bool { return s.ID == c.server.ID })
	switch c.kind {
	case addNonvoter:
		c.server.Voter = false
		now = append(now, c.server)
	case promote, demote:
		now[i].Voter = c.kind == promote
	case remove:
		now = slices.Delete(now, i, i+1)
	}
	return now
}

// candidates reads "1a 2b!30s": node 1 in zone a, node 2 in zone b, dead for 30 s.
func candidates(text string) (all []Candidate) {
	for _, w := range strings.Fields(text) {
		w, dead, isDead := strings.Cut(w, "!")
		var n int
		var zone string
		if _, err := fmt.Sscanf(w, "%d%s", &n, &zone); err != nil {
			panic(err)
		}
		c := Candidate{ID: id(n), Addr: addr(n), Zone: zone, Alive: !isDead}
		if isDead {
			d, err := time.ParseDuration(dead)
			if err != nil {
				panic(err)
			}
			c.DeadFor = d
		}
		all = append(all, c)
	}
	return all
}

// The golden file shows how Voters comes to rest.
func TestVotersGolden(t *testing.T) {
	var b strings.Builder
	for _, c := range []struct{ now, candidates string }{
		{"", ""},
		{"1", "1a"},
		{"1", "1a 2a"},
		{"1", "1a 2a 3a"},
		{"1", "1a 2a 3a 4a"},
		{"1", "1a 2a 3a 4a 5a 6a 7a"},
		{"1", "1a 2a 3a 4b 5b 6c 7c"},
		{"1 2 3", "1a 2a 3b 4c 5c"},
		{"1 2 3", "1a 2a 3a!10s 4a"},
		{"1 2 3", "1a 2a 3a!5m 4a"},
		{"1 2 3", "1a 2a 3a!5m"},
		{"1 2 3", "1a 2a"},
		{"1 2 3 4 5", "1a 2a 3a 4a!5m 5a!5m"},
		{"1 2 3 4 5", "1a 2a 3a 4a!5m 5a"},
		{"1 2 3 4 5", "1a 2a 3b 4b 5c!5m 6c 7c"},
		{"1 2 3", "1a 2b 3c 4d!10s"},
		{"2 3 4", "1a 2a 3a 4a"},
	} {
		fmt.Fprintf(&b, "%s; %s\n", c.now, c.candidates)
		now := servers(c.now)
		for range 20 {
			next := Voters(now, candidates(c.candidates), 5, time.Minute)
			if slices.Equal(next, now) {
				break
			}
			now = next
			fmt.Fprintf(&b, "  %s\n", text(now))
		}
	}
	golden(t, "testdata/voters.txt", b.String())
}

// From anywhere Voters comes to rest, by changing one vote at a time, and then there is an odd number
// of voters, spread over the zones.
func TestVotersSettle(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var now []Server
		var all []Candidate
		for n := 1; n <= 1+rng.IntN(9); n++ {
			c := Candidate{ID: id(n), Addr: addr(n), Zone: string(rune('a' + rng.IntN(3))), Alive: rng.IntN(4) > 0}
			if !c.Alive {
				c.DeadFor = time.Duration(rng.IntN(120)) * time.Second
			}
			if rng.IntN(8) > 0 {
				all = append(all, c)
			}
			if rng.IntN(2) > 0 {
				now = append(now, Server{ID: c.ID, Addr: c.Addr, Voter: rng.IntN(2) > 0})
			}
		}
		for round := 0; ; round++ {
			require.Less(t, round, 20, "seed %d: does not settle", seed)
			next := Voters(now, all, 5, time.Minute)
			if slices.Equal(next, now) {
				break
			}
			require.LessOrEqual(t, votesChanged(now, next), 1, "seed %d", seed)
			now = next
		}
		voters, alive := 0, 0
		for _, s := range now {
			if s.Voter {
				voters++
			}
		}
		for _, c := range all {
			if c.Alive {
				alive++
			}
		}
		if alive > 0 {
			require.Equal(t, 1, voters%2, "seed %d: %s", seed, text(now))
			require.LessOrEqual(t, voters, 5, "seed %d", seed)
		}
	}
}

func votesChanged(a, b []Server) int {
	votes := map[placement.NodeID]int{}
	for _, s := range a {
		if s.Voter {
			votes[s.ID]++
		}
	}
	for _, s := range b {
		if s.Voter {
			votes[s.ID]--
		}
	}
	n := 0
	for _, v := range votes {
		if v != 0 {
			n++
		}
	}
	return n
}
