package consensus

import (
	"fmt"
	"slices"

	"github.com/barograph-db/barograph/cluster/placement"
)

// changeKind is what is done to the servers at once: Raft allows one change at a time.
type changeKind uint8

const (
	nothing changeKind = iota // all is as it is wanted
	wait                      // for a server, before it can go on
	move                      // note that a server is at another address
	addNonvoter
	promote
	demote
	remove
	resign // hand over, for another leader to go on
)

func (k changeKind) String() string {
	return [...]string{"nothing", "wait", "move", "add", "promote", "demote", "remove", "resign"}[k]
}

// change is a step from the servers there are to those that are wanted.
type change struct {
	kind   changeKind
	server Server
	why    string // for wait
}

func (c change) String() string {
	switch c.kind {
	case nothing, resign:
		return c.kind.String()
	case wait:
		return fmt.Sprintf("wait with %s %s", c.server.ID, c.why)
	}
	return fmt.Sprintf("%s %s", c.kind, c.server.ID)
}

// catchUpSlack is how many entries a server may lack to be promoted: some are always on the way.
const catchUpSlack = 64

// view is what the leader knows when it decides on a change.
type view struct {
	self      placement.NodeID
	now       []Server
	committed uint64                      // what the leader has committed
	applied   map[placement.NodeID]uint64 // what those have applied that answered, the leader among them
}

// next decides on the next change. Servers are added before voters are promoted and those before
// others are demoted, so that there are rather more voters than fewer on the way; what has no say
// goes first, since it can't do harm. The leader itself comes last.
//
// No change is made that leaves fewer than a quorum of voters that answer.
func (v *view) next(want []Server) change {
	for _, steps := range []func([]Server) (change, bool){v.additions, v.leavers, v.promotions, v.demotions} {
		if c, ok := steps(want); ok {
			return v.safe(c)
		}
	}
	return change{}
}

func (v *view) additions(want []Server) (change, bool) {
	for _, w := range want {
		s, ok := find(v.now, w.ID)
		switch {
		case !ok:
			return change{kind: addNonvoter, server: w}, true
		case s.Addr != w.Addr:
			s.Addr = w.Addr
			return change{kind: move, server: s}, true
		}
	}
	return change{}, false
}

// leavers are servers that do not vote and are not wanted.
func (v *view) leavers(want []Server) (change, bool) {
	for _, s := range v.now {
		if _, ok := find(want, s.ID); !ok && !s.Voter {
			return change{kind: remove, server: s}, true
		}
	}
	return change{}, false
}

// promotions prefers a server that is ready to one that is not.
func (v *view) promotions(want []Server) (c change, ok bool) {
	for _, w := range want {
		if s, _ := find(v.now, w.ID); !w.Voter || s.Voter {
			continue
		}
		applied, answers := v.applied[w.ID]
		switch {
		case !answers:
			c, ok = change{wait, w, "until it answers"}, true
		case applied+catchUpSlack < v.committed:
			c, ok = change{wait, w, fmt.Sprintf("until it has caught up: it has applied %d of %d", applied, v.committed)}, true
		default:
			return change{kind: promote, server: w}, true
		}
	}
	return c, ok
}

// demotions prefers a server that does not answer to one that does, and that to the leader.
func (v *view) demotions(want []Server) (change, bool) {
	var found []change
	for _, s := range v.now {
		w, ok := find(want, s.ID)
		switch {
		case !s.Voter || w.Voter:
		case ok:
			found = append(found, change{kind: demote, server: w})
		default:
			found = append(found, change{kind: remove, server: s})
		}
	}
	if len(found) == 0 {
		return change{}, false
	}
	rank := func(c change) int {
		_, answers := v.applied[c.server.ID]
		switch {
		case c.server.ID == v.self:
			return 2
		case answers:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(found, func(a, b change) int { return rank(a) - rank(b) })
	if found[0].server.ID == v.self {
		return change{kind: resign}, true
	}
	return found[0], true
}

// safe returns c, or to wait if c would leave too few voters that answer.
func (v *view) safe(c change) change {
	if c.kind != promote && c.kind != demote && !(c.kind == remove && c.server.Voter) {
		return c
	}
	voters, answer := 0, 0
	for _, s := range v.now {
		if s.ID == c.server.ID {
			s.Voter = c.kind == promote
		}
		if s.Voter {
			voters++
			if _, ok := v.applied[s.ID]; ok {
				answer++
			}
		}
	}
	if answer < voters/2+1 {
		why := fmt.Sprintf("before it can be %sd: only %d of %d voters would answer", c.kind, answer, voters)
		return change{wait, c.server, why}
	}
	return c
}
