// Package storage keeps the samples of one node and answers which it holds. It knows nothing of
// other nodes: a single process can use it alone.
//
//	Append ──► wal ──► head ──flush──► parts in Pebble ──seal──► one a day ──retain──► gone
//	            └── checkpoint: the head as it is, so that the log before it can go
//	Select ◄── head + parts, joined in the order of series.Compare
//
// # The ages of a sample
//
// A sample is first in the log and the head. When its slot of two hours has ended, and a grace
// for late samples, a flush writes one part for each slot: sorted tables that Pebble ingests as
// they are, atomically, so that a flush writes each sample once. Samples that come later for such a slot
// wait in the head for the next flush and make a further part of the slot. Some hours after a day
// (UTC) has ended it is sealed: its parts are merged into one. What comes later still is the day's
// overlay, parts beside the sealed one, until it is large or has waited, and the day is sealed
// again. What another node has of a day comes as a part of that day, too (Import), and is an overlay
// from then on. A part goes when its newest sample is older than the retention, or the oldest go when all
// of them are too large.
//
// # What is kept true
//
//   - An acknowledged sample is in the log or in a part at every moment. The log is cut only by a
//     checkpoint, which holds the head as it was after every record before the cut; the barrier
//     (DB.barrier) sees to that: a record is encoded, put into the log's buffer and applied under its
//     read side, the cut is drawn under its write side. After a flush that cut is the line, drawn
//     when the slot ended, and the checkpoint leaves out what is in the log since.
//   - A flush that was ingested is never taken from the log again: each of its parts carries a
//     mark (before, segment), and a replay skips what lies before both.
//   - A sealed part, and one that was cleaned of deleted samples, names those that it replaces. They
//     are dropped once it is ingested, or at the next start: a crash leaves them or it. Before, a
//     checkpoint has the log let go of what is in them, so that their marks may go; and what a
//     tombstone hides is left out, since it does not reach parts that come later.
//   - A shard that was dropped is hidden by one row of the store (dropped), which names the parts that
//     were there by then: it holds over restarts, and for them alone, so that a shard which comes back is
//     what was written or imported since. Its rows go later: with the tables that have nothing else, or
//     when the part is written anew, by a seal or since much of it is hidden. A part's rows are excised
//     only while nobody reads it who began before they were hidden.
//   - A select sees each sample at every moment: it reads the head first and the list of parts
//     second, and a flush lists its parts before the head lets the samples go.
//   - No record is acknowledged once a disk is nearly full; the reserve is left for flushing and
//     checkpointing, which make room.
//
// # Locks
//
// In this order: DB.maintenance (one of flush, checkpoint, seal, delete, snapshot at a time), DB.reading,
// DB.barrier, DB.parts.mu, part.use.
//
// All exported methods may be called concurrently; Run once, between Open and Close.
package storage
