// Package cluster is a node's place among others: who is here, who holds what, and how to reach them.
// A Cluster holds the parts below it together and decides nothing by itself: what is to be done is
// found by pure functions (found, decide), whose answers it carries out.
//
//	gossip      who is here, and what each node says of itself        a hint
//	consensus   the placement, agreed by the voters of the region     a decision
//	rpc         the way to the others; Raft travels over it too
//	placement   which node holds which shard: what is agreed upon
//
// # A region's life
//
// A node without --cluster.join founds a region of its own, and with it the first placement. One that
// joins waits to be taken in: the leader sees it in gossip, makes it a server of Raft (a voter, if
// there is need of one), and gives it a part in the placement. With --cluster.bootstrap-expect=N nobody
// founds before N nodes see each other; then the one with the smallest ID does, for all of them, so
// that nothing has to move.
//
//	started ── joins ── sees N members, none of a region ── smallest ID? ── founds
//	                └─ sees a region ────────────────────── waits ───────── taken in by its leader
//
// A region has an ID of its own. Two regions that were founded under one name never mix: whoever has
// the other ID is not taken in, and both sides say so.
//
// # Who decides
//
// The leader of Raft looks at the members whenever something has changed and every second, and
// proposes one step at a time: the next placement. It is taken only if it follows the one that is in
// force, so two leaders, or a leader and an operator, never undo each other's steps.
//
//	alive, not in the placement, or otherwise than it says   Join
//	dead for longer than the hold time                       Lose
//	another replication factor than wanted                   SetFactor
//	moves that may begin                                     Next
//
// That a replica is whole is proposed by the node that has filled it (Filled, by package move). Each
// node tells the others by gossip which epoch it follows (ShutOut), since a copy is worth nothing
// while a write by an older placement may be acknowledged, and how far its copying is (Filling), for people.
//
// Raft brings each placement to all nodes. A node that must know one at once, since another asks it by that or
// refuses it by that, takes it from there (CatchUp): what is in force at one node was agreed upon. Raft's log
// does not notice: what it applies follows what it has applied.
//
// A link that flaps changes nothing before the hold time is over. A node that starts while there is no
// quorum goes on with the placement that it knew; only changes wait.
//
// # Files
//
//	node-id    the node's ID as text, made at the first start
//	placement  the placement that the node follows
//	raft/      the log and the snapshots of package consensus
//
// All methods of Cluster may be called by any goroutine; Run is called once.
package cluster
