// Package router is the ingest.Store of a cluster: it takes a frame apart by the nodes that hold its
// shards, hands each its part, and returns when enough of them have it.
//
//	Writer ──frame of router refs──► Router ──┬─ own node: refs exchanged, a plain call ──► Store
//	                                   │      ├─ b: Sender.Send ──► stream ─ ─ ─► b's Store
//	        table: ref → fingerprint ──┘      └─ c: Sender.Send ──► stream ─ ─ ─► c's Store
//	        routes: fingerprint → group → nodes                          │
//	        quorum.State ◄──────────────── acks, failures ◄─ ─ ─ ─ ─ ─ ─ ┘
//
// # The table
//
// A series has a reference here that says nothing about any node's own. It is an index and a
// generation, as in the head: indexes are dense in the order of arrival, so that the series of one
// sender lie side by side, and a generation is never given out twice for an index, so that a
// reference that was kept too long is refused (UnknownRef) and never hits another series.
//
//	page of 256   lock, label bytes, where each series' lie | cell ×256, 24 bytes
//	                                                          generation, last use (minutes),
//	                                                          this node's own ref, fingerprint
//	stripe of 64  lock, slots: low half of the fingerprint → index
//
// A look-up by labels goes through the stripe of the fingerprint. A sample needs only the cell, and
// takes no lock: all fields of a cell are atomic, and a reader looks at the generation last. Whoever
// changes a cell to another series sets the generation to zero first and to the new one last, so a
// generation that is as expected says that what was read before belongs to it. A reader notes the use
// before it looks at the generation, and whoever forgets a cell looks at the use after it has
// set the generation to zero: one of the two sees the other, so that no series is forgotten
// between a sample and the question of a Sender for its labels.
//
// Series that are unused for Options.Idle are forgotten, a part of the table each minute, by the
// first frame of that minute. The labels of a forgotten series are never written over: whoever has
// been given them may keep them.
//
// # Who gets what
//
// A sample, histogram or exemplar goes to all replicas of its series' shard, those that fill
// included. Metadata of a metric goes to the replicas of the shard of the label set
// {__name__="metric"}: as many copies as everything else has, spread like it, acknowledged like it, and
// found by whoever asks each shard once. To all nodes would cost each write a message to each node.
//
// A frame of which all series have the same replicas, as always with as many nodes as replicas, is
// passed on as it is. Else a first pass over the references finds each sample's group of
// shards (see quorum), and a second one deals the columns out.
//
// # Waiting
//
// Peers are handed their parts first, and the own node is called then, by the caller's goroutine,
// without a copy: its answer is always waited for. A node that fails, be it the own one with a full
// disk, is a replica that lacks a frame, and no more. The write is done when quorum says so and
// all others have answered, or have not within Options.Patience. It fails with ingest.StoreUnavailable
// when there can't be enough or when the context ends before.
//
// A sample is rejected when every whole replica rejected it that had answered by then. A node that
// says UnknownRef of a sample has not judged it, and lacks it: it has failed.
//
// A frame that a replica lacks, or has not answered in time, is told to Options.Missed, which keeps it
// on disk, before the write is acknowledged. So whoever has the acknowledgement knows that each replica
// has the frame or that somebody knows for good that it may lack it: a node may die at any moment, and
// what only its memory knew would be a hole in a replica that nobody knows of. Where it can't be kept,
// as on a node whose disk is full, the write fails: others can take it. What was not
// acknowledged is not told: the sender brings it again, and to keep it would push out what was
// acknowledged.
//
// # When the placement changes
//
// A write goes by one placement from its beginning to its end. Meanwhile a newer one may be in force
// elsewhere, by which other replicas are read. What must hold is:
//
//	(1) a whole replica has every sample that is acknowledged, or is known to have a gap there;
//	(2) so many whole replicas have it as the placement says (placement.Held), so that when all have
//	    gaps, enough of them together have everything (placement.Enough).
//
// Let n fill a replica since epoch E, for x, and be whole from epoch F on. Take a write by epoch e.
//
//   - e < E: it is not sent to n. A replica that follows E takes no frames any more from nodes
//     whose epoch is below E, and does not acknowledge those that it was storing when it heard of E.
//     n copies when so many replicas follow E that the others are no quorum. A write that is acknowledged has
//     one of these replicas among its quorum; that one took it before it followed E. So every write by e that is
//     ever acknowledged has been stored by then where the copy comes from, and is in the copy.
//   - That replica may not be the one that is copied from. The other has a gap then, and whoever copies must know.
//     Here a write is acknowledged only if, after what others miss was kept on disk, this node's own placement does not
//     shut e out; else it is done again by the newer one. Beats carry the epoch, which is looked at
//     before it is asked whether something is kept. So who hears of an epoch of E or later that nothing is kept for him has
//     everything that was acknowledged by earlier ones; and who does not hear it tells of a gap.
//   - E <= e < F: it is sent to n as to the others, and needs a quorum of the whole replicas and of those
//     without x and with n. So (2) holds before and after F, whenever the write ends, and n has
//     it or a gap as any other.
//   - F <= e: n is one of the others. x gets nothing any more; while it does not know of F, the beats of those that
//     do tell it that it may lack something.
//
// When a move is given up, the writes that it made wait for more have more than they need. When a replica
// is given up with none in its place, all writes before are shut out as above, and the placement says that what
// was acknowledged before may be on one fewer (placement.Short). A node that is given up while it is away is
// shut out too: it takes writes again once it has heard that it is taken in again, and until then there is nothing
// that only it knows of.
//
// A node that is told that its epoch is shut out asks who told it for the newer placement, and does the
// write again within the same request; consensus need not be reached for that.
//
// # Who owns memory
//
// The caller's frame, and all views of it, are touched only until Append returns. The account of a
// write (the dealt columns, the list of nodes) is held by Append and by each Sender that has not called
// done, and used again when the last of them lets go.
//
// # Cost
//
// Between a Writer and stores that do nothing (go test -run '^$' -bench . ./ingest/router), a sample
// costs 20 to 30 ns more than without a Router with one replica on three nodes, or with three on
// five, and 7 to 20 ns with three on three. A series takes 55 bytes beside its labels.
//
// All methods may be called concurrently. Locks are taken in this order: stripe, free list, page; a
// write's lock is never held with another.
package router
