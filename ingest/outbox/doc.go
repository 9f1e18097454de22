// Package outbox keeps frames on disk for replicas that could not take them, in order, until they
// can. For as long as it has something for a peer, that peer lacks acknowledged samples: it has a gap.
//
// # Layout
//
// The outbox is a small Pebble of its own. A peer's frames lie in segments, each of which is a log of
// frames (see package storage/frame) that stands by itself: labels are in the frame which first uses a
// reference. A segment is delivered as a whole or again from its beginning, since samples are
// idempotent, and is then deleted.
//
//	'r' | peer 16 bytes | segment u64 | number u32   → record
//	'g' | peer 16 bytes                              → gap
//
//	record = version u8 (1) | zigzag mint | uvarint maxt-mint | uvarint bytes | frame of a log
//	         the times and bytes are of the segment up to here, so that its last record says them all
//	gap    = version u8 (1) | flags u8 | zigzag from | [zigzag lost from | zigzag lost to]
//	         flags: bit 0, there is something lost
//
// Integers in keys are big-endian. Times are in milliseconds.
//
// # Gaps
//
// A gap begins at the earliest sample that is kept, and has no end before all is delivered: while a
// peer takes nothing it misses what is being written now. What is given up, because the outbox is
// full or the disk has damaged it, is lost: that stretch stays a gap, with an end, until somebody has
// repaired it and says so.
//
//	Put returns ─→ the frame is on disk, and so is the gap
//	Drain        ─→ oldest segment first; the last one gone, the gap closes
//	restart      ─→ the same gaps as before
//
// # Limits
//
// Of each peer at most Options.MaxBytes are kept; beyond them the oldest segment is given up. When the
// disk has little room left nothing is taken, which ErrFull says: the write they are of has failed.
//
// A frame holds references of one generation for each index.
//
// All methods may be called concurrently; Drain for one peer by one goroutine at a time.
package outbox
