// Package block keeps parts in Pebble: it builds one, reads it, lists what exists and drops it.
//
// A part is everything that was flushed at once for one tier and stretch of time: a slot of two
// hours, or a sealed day. It is written once, as sorted tables that Pebble ingests without
// rewriting them, and never changes. Parts do not overlap each other in keys (package keys), so
// tables go straight to Pebble's last level and are never compacted, and dropping one is two
// excises.
//
// # What a part holds
//
// The series of a part are numbered from 0 in the order (shard, metric, label bytes); the number
// is the ordinal. A shard is a range of ordinals, and a metric is one inside it.
//
//	class 'c'   ordinal ────────► chunk row (package chunk)
//	class 'i'   header            what the part is; where each shard begins
//	            symbols           number ──► string, sorted; 256 a block
//	            label rows        ordinal ──► its labels by symbol numbers; 64 a block
//	            postings          name, value ──► ordinals
//
// The part exists if its header can be read. All tables of a part, or of several, are ingested in
// one step, and the index is dropped before the chunks, also in one step; so a part is there as a
// whole or not at all. Chunk rows without a header are what a crash left of a drop. A part may name
// others that it replaces: where its header is, they count as dropped.
//
// Shards of a part may be hidden, and then trimmed: their chunk rows go with the tables that have no
// others. A table of a large part therefore ends with a shard. The index stays as it is, so that whoever
// reads it leaves out the ordinals of hidden shards.
//
// # Header
//
//	version u8 (4) | crc32c u32 le, of all that follows
//	tier u8 | shard bits u8 | varint start | uvarint seq
//	varint mint | varint maxt | uvarint samples | uvarint bytes of chunk rows
//	varint flushed before | uvarint flushed segment
//	uvarint number of symbols | uvarint number of labels of all series | uvarint number of columns of times
//	uvarint number of shards that have series, then for each, in order:
//	  uvarint shards skipped since the last | uvarint number of its series
//	uvarint number of parts it replaces, then for each, by start and seq:
//	  varint start less the last one's, at first its own | uvarint seq
//
// # Symbols
//
// Every distinct label name and value, sorted bytewise, the first being number 0:
//
//	repeat: uvarint len | bytes
//
// which is what canonical label bytes have for a name or value, so label bytes are made by copying.
//
// # Label rows
//
//	repeat, a row for each ordinal:
//	  uvarint shape
//	  if shape is the number of shapes in the block so far, it is new:
//	    uvarint n | n × uvarint symbol of a label name
//	  if shape is that of the row before:
//	    mask of ceil(n/8) bytes, bit i (lowest first) for value i | uvarint symbol for each bit set
//	  else:
//	    n × uvarint symbol of a label value
//
// # Postings
//
// Postings are a roaring bitmap of ordinals in its portable format, with runs. The postings of a label
// name follow each other in the order of the values, so that names and values are listed from keys
// alone.
//
// # Times
//
// The series of a target are scraped together and have equal timestamps, which need not be regular:
// those that several chunks have are written once, numbered in the order in which rows first need
// them, so that the columns of a target follow each other. A series that lacks a sample has its own,
// in its row. How a column is encoded says package chunk.
//
//	repeat: uvarint len | column
//
// # Damage
//
// Pebble checks a checksum with each block it reads, the header has its own, and every decoder
// takes any bytes. What cannot be what was written ends the read with an error that names the part,
// is marked with ErrCorrupt and counted; nothing is left out of an answer in silence.
//
// # Concurrency
//
// A Part and a Cache may be used from any goroutine, a Builder from one. A part must not be dropped
// while it is being read: the store sees to that.
package block
