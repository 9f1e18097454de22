package dedup

import "math"

// term is what is agreed upon for a pair.
type term struct {
	seq     uint64 // grows with every change of any pair; 0 is no term
	replica string // the elected one
	heard   int64  // milliseconds by a node's clock
	after   int64  // samples later than this are taken
}

// over reports whether a term has ended, of which a node last heard at heard by itself. A time far
// ahead of now was told by a wrong clock.
func (t term) over(heard, now, failover int64) bool {
	quiet := now - max(t.heard, heard)
	return quiet >= failover || quiet < -failover
}

// action is what to do with samples of a replica.
type action uint8

const (
	take action = iota
	leave
	propose // the replica for election
)

// judge says what to do with samples of a replica that come now.
func (t term) judge(replica string, heard, now, failover int64) action {
	switch {
	case t.seq == 0, t.over(heard, now, failover):
		return propose
	case t.replica == replica:
		return take
	}
	return leave
}

// bound is the time after which samples of another replica may be taken, when the newest sample seen
// of this term is newest. Others may have taken some until reach after the term's last hearing.
func (t term) bound(newest, now, reach int64) int64 {
	if t.seq == 0 {
		return math.MinInt64
	}
	return max(t.after, newest, min(t.heard+reach, now))
}

// command changes the table: one election, or what was heard.
type command struct {
	elect election
	heard []hearing // if not empty, there is no election
}

// election proposes a replica, given that the term of its pair is still that of seq.
type election struct {
	pair, replica string
	seq           uint64
	at, after     int64
	most          uint64 // pairs; with as many, only forgotten ones make room
}

// hearing says that an elected replica was heard.
type hearing struct {
	pair, replica string
	at            int64
}

// status is how a command ended.
type status uint8

const (
	taken status = iota
	outdated
	full
	bad
)

// forgetAfter is how long a pair is not heard before it may make room for another.
const forgetAfter = 24 * 3600 * 1000

// terms are the state: everything in it follows from the commands.
type terms struct {
	seq   uint64
	pairs map[string]term
}

// hold performs an election.
func (s *terms) hold(e election) (status, term) {
	now, known := s.pairs[e.pair]
	if now.seq != e.seq {
		return outdated, now
	}
	if !known && !s.makeRoom(min(e.most, maxPairs), e.at) {
		return full, term{}
	}
	if known && now.replica == e.replica { // Its bound stays.
		e.after = now.after
	}
	s.seq++
	now = term{seq: s.seq, replica: e.replica, heard: e.at, after: e.after}
	s.pairs[e.pair] = now
	return taken, now
}

// hear takes note of the elected replicas among those heard.
func (s *terms) hear(hs []hearing) {
	for _, h := range hs {
		if t, ok := s.pairs[h.pair]; ok && t.replica == h.replica && h.at > t.heard {
			s.seq++
			t.seq, t.heard = s.seq, h.at
			s.pairs[h.pair] = t
		}
	}
}

// makeRoom reports whether there is room for one more pair.
func (s *terms) makeRoom(most uint64, at int64) bool {
	if uint64(len(s.pairs)) < most {
		return true
	}
	for name, t := range s.pairs {
		if at-t.heard > forgetAfter {
			delete(s.pairs, name)
		}
	}
	return uint64(len(s.pairs)) < most
}
