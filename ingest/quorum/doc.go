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
// so that no zone alone, which may be lost as a whole, holds what was promised.
//
// While a replica fills, the same must hold of those that are going to be whole: the one that fills,
// without the one whose place it takes. So a replica may become whole at any moment, also while a write
// is under way that was begun before: what is acknowledged is on a quorum of those before and of those
// after. Without it, of a and b, acknowledged for a, b and c while d fills for a, only b would be left of
// b, c and d, and to read c and d would not be to read everything.
//
//	a b c  +d for a     2 of a b c   and 2 of b c d
//	a b c  +d           2 of a b c   and 3 of a b c d
//	a      +b           a            and both
//
// Where the acknowledgements of more nodes are needed because of that, a node that fills and dies makes
// writes wait only until it is noticed: the move is given up then (placement.Next).
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
