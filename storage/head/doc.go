// Package head holds the newest samples in memory until they are flushed.
//
// # Series
//
// A series has a reference: its index, dense in order of arrival, and a generation, so that an
// index that was given out anew is not taken for the series it named before. The generation is a
// count of the whole head that rises with every GC; it survives restarts with the series. Series
// live in pages of 256:
//
//	page   mutex | cell ×256, 72 bytes        | state ×256, 32 bytes           | slabs
//	               gate, generation,            fingerprint, last time,          closed chunks
//	               open: chunk.XORAppender      newest closed chunk,
//	                                            what only some series have
//
// The common sample is a float without start timestamp, later than the last one of its series. It
// touches the gate (is this reference alive, and is its open chunk a plain one?) and the open
// chunk, allocates nothing beside the chunk's growth, and needs no look-up. A frame takes a page's
// mutex once per run of samples for it; frames in another order are sorted by page first where
// that makes runs, and cells are read ahead where it does not. Everything else goes the long way: chunks to close, start timestamps and
// histograms (chunk.Builder), late samples.
//
// A chunk never straddles a slot: slots are SlotMillis long and aligned to it, and what is flushed
// is whole slots.
//
// # Late samples
//
// A sample that is not later than its series' last one goes to a sorted buffer of that series, and
// from there, a few at a time, into closed chunks that may overlap others; readers join them. A
// sample that is there already is dropped: at once where it equals the last one or would be the
// first in the buffer, else when the buffer is encoded. For each sample or buffer only a bounded
// number of chunks is looked at, so that a copy among very many overlapping chunks may stay until
// the flush merges them. Of different samples for one timestamp series.CompareValues chooses, then
// or at reading.
//
// With an out-of-order window, a late sample must not be older than the window before the head's
// newest sample, as in Prometheus. Samples that are in order within their series are always taken.
//
// # Flush and checkpoint
//
// StartFlush marks the chunks before a time. They stay where they are, visible to Select, until
// Done drops them or Abort unmarks them; samples may come at any moment and stay for the next
// flush. Only one flush is under way at a time.
//
// Checkpoint writes everything as records, which LoadCheckpoint takes in any order and from
// several goroutines. What was logged before the log was cut must be in the head when Checkpoint
// begins; the caller keeps Refs and Append out while it cuts. What comes meanwhile may be in the
// checkpoint or not, and Replay of the log from the cut on brings it (again). DrawLine at a cut, a
// flush of what is before the line, and CheckpointFromLine make a checkpoint for that cut without
// what came since. A record:
//
//	record = version u8 (1) | kind u8 | body
//	kind 1   uvarint generation that the next series gets
//	kind 2   series...:
//	         uvarint index | uvarint generation | uvarint len(labels) | labels
//	         | varint last timestamp in order (the least there is: none yet)
//	         | uvarint len(row) | row of closed chunks | uvarint len(row) | row of the open chunk
//	kind 3   a frame (package frame) with exemplars and metadata only
//
// Rows are package chunk's; the second holds one chunk or none. A series with many chunks comes
// more than once, the open chunk in its last place. A record is at most MaxRecordBytes long unless
// one chunk or frame alone is longer.
//
// A replay makes nothing smaller: it keeps full chunks as they were while they were open, and Shrink
// sees to them once others no longer wait.
//
// # Concurrency
//
// All methods may be called concurrently, except that LoadCheckpoint and Replay come before
// anything else. Locks are taken in this order: creation, directory, index, page; a page's lock is
// the last one and nothing waits under it.
package head
