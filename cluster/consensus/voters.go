package consensus

import (
	"cmp"
	"slices"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
)

// Candidate is a node that may be a server: every member of the region, also while it is dead.
type Candidate struct {
	ID      placement.NodeID
	Addr    string
	Zone    string
	Alive   bool
	DeadFor time.Duration
}

// fewestVoters are not gone below because nodes are dead: with fewer, the loss of one could lose
// what was agreed on.
const fewestVoters = 3

// Voters returns the servers that there should be next: all candidates, of whom some vote. It is at
// most one promotion or one demotion away from what is there, so that a quorum stays one; called
// again once that is done, it comes to rest after a few. While one voter takes another's place,
// there is one more than most.
//
// Wanted is an odd number of voters, up to most, among those that are alive or, if they vote
// already, have been dead for less than grace. They are taken from the zones in turn; in a zone,
// those who vote already come first. Voters dead for longer are replaced; they keep their vote where
// nobody can replace them and fewer than three would be left.
func Voters(now []Server, candidates []Candidate, most int, grace time.Duration) []Server {
	votes := map[placement.NodeID]bool{}
	for _, s := range now {
		votes[s.ID] = s.Voter
	}
	var fit, dead []Candidate
	var servers []Server
	for _, c := range candidates {
		vote, there := votes[c.ID]
		switch {
		case c.Alive, vote && c.DeadFor < grace:
			fit = append(fit, c)
		case vote:
			dead = append(dead, c)
		case !there:
			continue // It is added once it is alive.
		}
		servers = append(servers, Server{ID: c.ID, Addr: c.Addr, Voter: vote})
	}
	size := max(odd(min(most, len(fit))), odd(min(most, len(fit)+len(dead), fewestVoters)))
	want := choose(fit, min(size, len(fit)), votes)
	want = append(want, choose(dead, size-len(want), votes)...)
	if len(want) == 0 {
		return slices.Clone(now)
	}
	return oneStep(now, servers, want, append(fit, dead...))
}

// odd is the largest odd number up to n, or 0.
func odd(n int) int { return max(0, n-(n+1)%2) }

// choose takes n candidates, each time from a zone of which the fewest were taken.
func choose(from []Candidate, n int, votes map[placement.NodeID]bool) []Candidate {
	rest := slices.Clone(from)
	taken := map[string]int{}
	var chosen []Candidate
	for len(chosen) < n && len(rest) > 0 {
		best := slices.MinFunc(rest, func(a, b Candidate) int {
			return cmp.Or(
				cmp.Compare(taken[a.Zone], taken[b.Zone]),
				before(votes[a.ID], votes[b.ID]),
				before(a.Alive, b.Alive),
				a.ID.Compare(b.ID))
		})
		taken[best.Zone]++
		chosen = append(chosen, best)
		rest = slices.DeleteFunc(rest, func(c Candidate) bool { return c.ID == best.ID })
	}
	return chosen
}

// before puts true first.
func before(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// oneStep moves the votes of servers one step from now to want: a promotion, and once there is none
// to be made a demotion, of a dead voter rather than a living one.
func oneStep(now, servers []Server, want, known []Candidate) []Server {
	wanted := map[placement.NodeID]bool{}
	for _, c := range want {
		wanted[c.ID] = true
	}
	alive := map[placement.NodeID]bool{}
	for _, c := range known {
		alive[c.ID] = c.Alive
	}
	slices.SortFunc(servers, byID)
	for i, s := range servers {
		if wanted[s.ID] && !s.Voter {
			servers[i].Voter = true
			return withLeavers(now, servers, placement.NodeID{})
		}
	}
	var leave []placement.NodeID
	for _, s := range now {
		if s.Voter && !wanted[s.ID] {
			leave = append(leave, s.ID)
		}
	}
	if len(leave) == 0 {
		return servers
	}
	leaver := slices.MinFunc(leave, func(a, b placement.NodeID) int {
		return cmp.Or(before(alive[b], alive[a]), b.Compare(a))
	})
	for i := range servers {
		if servers[i].ID == leaver {
			servers[i].Voter = false
		}
	}
	return withLeavers(now, servers, leaver)
}

// withLeavers adds the voters of now that are no candidates any more, but for one.
func withLeavers(now, servers []Server, but placement.NodeID) []Server {
	for _, s := range now {
		if _, ok := find(servers, s.ID); s.Voter && !ok && s.ID != but {
			servers = append(servers, s)
		}
	}
	slices.SortFunc(servers, byID)
	return servers
}
