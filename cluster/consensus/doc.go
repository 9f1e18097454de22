// Package consensus keeps named states the same on all nodes of a region: Raft, by hashicorp/raft,
// over the node's own connections and a small store of its own. What a state is, its owner knows;
// here it is bytes.
//
//	Propose(state, command) ──┐                      any node
//	                          │ Options.Forward, when another leads
//	                          v
//	                   leader: raft.Apply ──> log of most voters, synced
//	                          │ committed
//	      ┌───────────────────┼───────────────────┐
//	      v                   v                   v
//	State.Apply         State.Apply         State.Apply       on every node, in the same order
//	      └─ result, to the proposer
//
// A Group is opened, which reads what the disk has, and run, which takes part. After Open the states
// are what they were when the node went away, as far as it had been told, with no other node needed:
// the newest snapshot and the entries after it up to the last that was known to be committed. While
// a quorum is lost the states stay readable; only proposals fail.
//
// The names of the states are part of the protocol: a name that this node does not know is refused
// when it is proposed, and when it is in a log or snapshot of others (written by newer software) the
// node stops taking part, with ErrUnknownState. To pass over it would let the node hand out snapshots
// from which it is missing. New names are therefore proposed only once all nodes know them, and so are
// new ways of writing a command: State.Reads finds those that are not known, which end it likewise.
//
// # On disk
//
// One Pebble in Options.Dir holds the log, Raft's own few values and one snapshot;
// docs/formats/consensus.md draws its rows. What is stored is synced before Raft hears of it. A
// directory belongs to one node: another's is refused. Damage is refused by Open, also that which
// Pebble would pass over, by a witness beside it that counts the writes: a voter that has forgotten
// its vote could help to elect a second leader.
//
// When the disk is full to the brim, the log waits for room (see stall.go). When the disk fails while
// the group runs, hashicorp/raft would panic. Instead the goroutine that asked ends (runtime.Goexit), Run
// takes the rest down and returns the error: the node stays up and goes on serving by what it last knew.
//
// # Servers
//
// Raft knows servers by their IDs; where one is, is looked up whenever it is dialled, in
// Options.Address (gossip) and otherwise in Raft's own configuration. A node may therefore change
// its address, and an address may pass to another node.
//
// Voters decides who votes, SetServers makes it so: by single changes, each of which leaves a quorum
// of voters that answer. New voters are added as non-voters first and promoted once they have the
// log. A leader that is to vote no more hands over and leaves the rest to the next.
//
// # Who may call what
//
// All methods may be called by any goroutine, Run once. States are called by one goroutine at a
// time: Open's first, later Raft's. They must not call back into the Group.
//
// Locks: Group.founding, then Group.mu. Group.mu and layer.mu are held for moments only.
// store.writing is held while the log is written, store.snapshots while a snapshot takes the place
// of another, and store.use (shared) while Pebble is used.
package consensus
