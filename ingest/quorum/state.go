package quorum

import (
	"fmt"
	"strings"
)

// Outcome of a write, or of one group of it.
type Outcome uint8

// The outcomes.
const (
	Pending    Outcome = iota // answers are still needed
	Done                      // enough have acknowledged
	Impossible                // enough can't acknowledge any more
)

func (o Outcome) String() string {
	switch o {
	case Pending:
		return "pending"
	case Done:
		return "done"
	case Impossible:
		return "impossible"
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// answer of a node.
type answer uint8

const (
	waiting answer = iota
	acked
	failed
)

func (a answer) String() string { return [...]string{"wait", "ack", "fail"}[a] }

// State is the account of one write: the groups that it touches and the answers of the nodes.
type State struct {
	table      *Table
	answers    []answer // by node
	used       []uint16 // groups, in the order of Use
	open       []bool   // by group: used, and pending
	touched    []bool   // by group: used
	pending    int
	impossible int
}

// Begin starts a write that touches nothing yet.
func (s *State) Begin(t *Table) {
	for _, g := range s.used {
		s.open[g], s.touched[g] = false, false
	}
	s.used, s.pending, s.impossible = s.used[:0], 0, 0
	clear(s.answers)
	if s.table != t {
		s.table = t
		s.answers = sized(s.answers, len(t.of))
		s.open, s.touched = sized(s.open, len(t.groups)), sized(s.touched, len(t.groups))
	}
}

// sized returns s with n elements. What lies behind its end has been cleared.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Use says that the write touches a group. All uses come before the first answer.
func (s *State) Use(group uint16) {
	if !s.touched[group] {
		s.touched[group], s.open[group] = true, true
		s.used = append(s.used, group)
		s.pending++
	}
}

// Used are the groups that the write touches. The caller may not change them.
func (s *State) Used() []uint16 { return s.used }

// Ack notes that a node has all that was meant for it. Of several answers of a node the first counts.
func (s *State) Ack(node uint16) Outcome { return s.answer(node, acked) }

// Fail notes that a node does not have what was meant for it, or is not known to.
func (s *State) Fail(node uint16) Outcome { return s.answer(node, failed) }

func (s *State) answer(node uint16, a answer) Outcome {
	if s.answers[node] == waiting {
		s.answers[node] = a
		for _, g := range s.table.of[node] {
			if s.open[g] {
				s.settle(g)
			}
		}
	}
	return s.Outcome()
}

// settle closes a group whose outcome is known.
func (s *State) settle(g uint16) {
	o := s.outcome(g)
	if o == Pending {
		return
	}
	s.open[g] = false
	s.pending--
	if o == Impossible {
		s.impossible++
	}
}

// Outcome of the write. One that touches nothing is done.
func (s *State) Outcome() Outcome {
	switch {
	case s.impossible > 0:
		return Impossible
	case s.pending > 0:
		return Pending
	}
	return Done
}

// outcome of a group: what the acknowledgements say, and what they would with those of all that
// have not answered.
func (s *State) outcome(group uint16) Outcome {
	g := &s.table.groups[group]
	switch {
	case s.enough(g, acked):
		return Done
	case s.enough(g, waiting):
		return Pending
	}
	return Impossible
}

// enough reports whether those of the group that acknowledged, and those with the answer or,
// suffice.
func (s *State) enough(g *group, or answer) bool {
	for i := range g.needs {
		if !s.has(&g.needs[i], or) {
			return false
		}
	}
	return true
}

func (s *State) has(need *need, or answer) bool {
	n, zone, several := 0, uint16(0), false
	for _, m := range need.members {
		if a := s.answers[m.node]; a == acked || a == or {
			several = several || n > 0 && m.zone != zone
			zone = m.zone
			n++
		}
	}
	return n >= need.quorum && (several || !need.twoZones)
}

// Acks is how many whole replicas of a group have acknowledged.
func (s *State) Acks(group uint16) int { return s.acks(&s.table.groups[group].needs[0]) }

func (s *State) acks(need *need) (n int) {
	for _, m := range need.members {
		if s.answers[m.node] == acked {
			n++
		}
	}
	return n
}

// String is a line for each group that the write touches.
//
//	group 3 (shards 0-84): a ack, b fail, c wait: pending 1 of 2
//	group 4 (shards 85-255): a ack, c wait, d ack (fills): pending 1 of 2, 1 of 2 zones, then 2 of 2
func (s *State) String() string {
	var b strings.Builder
	for _, g := range s.used {
		b.WriteString(s.line(g))
		b.WriteByte('\n')
	}
	return b.String()
}

// Why is the line of String that decides: of the first group that is impossible, else of the first that
// is pending. It is empty when the write is done.
func (s *State) Why() string {
	outcome := s.Outcome()
	for _, g := range s.used {
		if outcome != Done && s.outcome(g) == outcome {
			return s.line(g)
		}
	}
	return ""
}

func (s *State) line(number uint16) string {
	var b strings.Builder
	g := &s.table.groups[number]
	fmt.Fprintf(&b, "group %d (%s): ", number, s.table.span(number))
	for i, n := range g.nodes {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s", s.table.Name(n), s.answers[n])
		if i >= g.whole {
			b.WriteString(" (fills)")
		}
	}
	fmt.Fprintf(&b, ": %s ", s.outcome(number))
	for i := range g.needs {
		n := &g.needs[i]
		if i > 0 {
			b.WriteString(", then ")
		}
		fmt.Fprintf(&b, "%d of %d", s.acks(n), n.quorum)
		if n.twoZones {
			fmt.Fprintf(&b, ", %d of 2 zones", min(s.zones(n), 2))
		}
	}
	return b.String()
}

// zones is in how many of them a replica has acknowledged.
func (s *State) zones(need *need) int {
	distinct := map[uint16]bool{}
	for _, m := range need.members {
		if s.answers[m.node] == acked {
			distinct[m.zone] = true
		}
	}
	return len(distinct)
}
