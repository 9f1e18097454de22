// Package repair finds what a replica lacks that others have, and fetches it. It decides what is compared
// with whom, when, and what of it is fetched; the comparing of samples and the fetching come in as
// functions.
//
// Each node repairs itself: it asks the other replicas of the shards that it holds whole for digests,
// and takes in what they have and it has not. So both ways happen.
//
//	own digests ──┐
//	              ├─ equal ──────────────────────────────────────────► next
//	theirs ───────┘
//	                 differ, in some slots of some shards
//	own digests, of parts of these shards ──┐
//	                                        ├─ differ ──► fetch these slots of these parts
//	theirs ─────────────────────────────────┘             of which what is missing here is kept
//
// A digest is a function of the samples alone, of which it counts those that a reader sees, so that two
// nodes have the same one however they came by the samples and wherever these lie. Those of a slot
// (two hours) for each shard are one message; a shard's parts are up to 256 stretches of its fingerprints.
//
// # Rounds
//
// Days are compared one after the other: those of which this was never done, the newest first; then
// whichever is the most overdue. The last two days are due every six hours, all others every week.
// What is younger than an hour is left out: it is on its way. A round takes a tenth of one core's time at most,
// and what is fetched counts towards a rate. Days in which nobody has anything are compared many
// at once.
//
// # Gaps
//
// A stretch of time of which it is known that something is missing comes before all that, and is compared
// at once. There are two kinds:
//
//	missed   a sender gave up what it kept for this node, or a node is gone for good that may have kept
//	         something. Whatever this node has acknowledged, it has.
//	forgot   a part is damaged, or the log, or the store is gone. This node has acknowledged samples, and
//	         has them no more.
//
// While there is such a gap, others read this node's shards elsewhere. It is closed when each shard
// that this node holds was compared, and what differs fetched, with every other replica that lives, and
// with as many as must have every acknowledged sample among them: of the replicas of a shard, one
// more than may be missing in a quorum. A replica that has missed something counts, since another one of
// the quorum has it; one that forgot something in that stretch does not, nor does this one if it
// forgot. Where not enough are left of which that can be said, the gap is closed when all were compared: nobody
// has more. While shards are being filled here no gap is closed: their copy has to begin anew for it.
//
// That a digest is the same in the end is not asked for: the other may lack what this one has. It will fetch that
// itself.
//
// What senders gave up, they tell, also after a restart. Before it compares, the node asks the sender what
// exactly that is; the answer has a number which changes with every loss, and the sender forgets it only
// when the number is still the same. Gaps that the node itself knows of are in its file.
//
// # Files and messages
//
// repair.json in the data directory has the gaps of this node and when days were compared. The messages of
// the methods repair.digest, repair.lost and repair.repaired, and the file, are drawn in docs/formats/repair.md.
//
// Run is called once; all other methods may be called concurrently.
package repair
