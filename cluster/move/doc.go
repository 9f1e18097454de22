// Package move fills replicas: a shard that is to be on this node is copied from the nodes that have it
// whole, while all new writes come here anyway. It decides what is copied when, and when the copy is
// whole; the copying itself comes in as a function.
//
//	epoch 41   a replica of this node fills      writers hear of it, one by one
//	           enough replicas know epoch 41     wait: no write that does not come here is acknowledged any more
//	           and some time has gone by         what was acknowledged before is where it is to be, or a known gap
//	           newest days ──copy──► oldest      progress is on disk after each stretch
//	           no gap of this node is known      wait: what it was sent and missed is delivered
//	epoch 42   Filled: the replica is whole      it is read from, and counts
//
// # Batches
//
// What is to be filled when the node has nothing to do is a batch, and is copied together, one stretch of
// time after the other, so that a day's samples become one part here and not one for each shard. What
// comes meanwhile is the next batch. The placement bounds how many shards are in one.
//
// # Stretches
//
// The newest samples are copied first: the oldest may be gone by retention before it is their turn. A
// stretch is a day at first, is doubled when little came of it, so that empty years cost nothing, and
// halved when much did, or when it could not be copied: a node that serves it may have no memory for
// more. Copying a stretch again does no harm, so what fails is tried again.
//
// # No write passes by
//
// A replica that follows epoch 41 takes no write any more by a placement from before it (see package
// placement, on the fence), and says that it follows it when that is on disk. Of each shard so many whole
// replicas must say so that the others are no quorum of any earlier placement: what is acknowledged after
// that comes here as well, or is kept for this node, whoever it is that writes. A node that is dead need not
// be waited for, nor does it matter that one comes back which knows nothing of epoch 41.
//
// # Beginning anew
//
// A copy is worth nothing if a write was missed that it does not have. It begins anew when
//
//   - the replica fills since another epoch than before: it was given up meanwhile;
//   - some node tells of samples that this one missed and that can't be delivered any more.
//
// # File
//
// fill.json in the data directory is the progress of the batch that is being copied. It is replaced as
// a whole; without it, or when it can't be read, the copy begins anew.
//
//	{"version":1,"replicas":[{"shard":3,"since":41},{"shard":7,"since":44}],"before":1700006400000,"lost":[{"from":1,"to":2}]}
//
//	replicas the shards of the batch, and the epochs in which they began to fill
//	before   samples before this time, in milliseconds, are still to be copied
//	lost     what this node missed before the copy began, which the copy therefore has
//
// Run is called once. Nothing else is to be called.
package move
