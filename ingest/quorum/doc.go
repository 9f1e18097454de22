// Package quorum decides which acknowledgements of a write suffice. It is pure.
//
// # Groups
//
// A frame touches many shards, and most of them have the same replicas: a Table gathers the shards
// of a placement that do into groups, once for each epoch. With three nodes and three replicas
// there is one group; with many nodes there are as many as there are sets of nodes, and never more
// than shards.
//
//	group 0 (shards 0-84)     a b c
//	group 1 (shards 85-169)   a b d
//	group 2 (shards 170-255)  b c d +e    e fills
//
// # Enough
//
// A group has enough when a majority of its whole replicas has acknowledged. If they lie in several
// zones and the majority is more than one, the acknowledgements must come from two zones at least,
// so that no zone alone, which may be lost as a whole, holds what was promised. The replica that fills is
// written to and never counts: it lacks what came before it.
//
// A write is done when every group that it touches has enough, and impossible once one of them can't
// get enough any more whatever the nodes that have not answered say. Until then it is pending.
// Answers only ever add to what is known, so a write that is done or impossible stays so.
//
// A State is the account of one write. It is meant to be used for one write after the other and
// allocates nothing then. It looks at the groups of a node that answers, not at shards.
//
// A Table may be used concurrently, a State may not.
package quorum
