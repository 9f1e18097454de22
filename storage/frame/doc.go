// Package frame encodes and decodes frames: a batch of samples for one node, addressed by short
// series references. One layout serves the wire, the WAL and the outbox.
//
// A Frame in memory is columns, not rows: the writer fills them in one loop, the head reads them
// in one loop, and on disk and wire like bytes lie together, so that they compress.
//
// # Layout
//
//	frame      = version u8 (2) | flags u8 | [epoch u32 | digest u32] | floats | rest
//	             flags: bit 0, rest is a zstd frame; bit 1, the frame is one of a log and has an
//	             epoch and a digest; other bits are 0
//	floats     = uvarint n | flags u8 | uvarint index of the first reference
//	             | gaps | [high gaps] | wide gaps | times | [starts]
//	             | generations | changed | classes | low | mid | more | raw
//	             flags: bit 0, sorted; bit 1, there are starts; bit 2, there are high gaps
//	gaps       = column of n-1 bytes: an index less the one before; as zigzag where not sorted
//	             without high gaps, 255 is that and more: the remainder is a wide gap
//	high gaps  = column of n-1 bytes: the gaps over 256; 255 is that and more
//	wide gaps  = uvarint for each 255
//	times,     = uvarint runs | runs × (uvarint samples | delta)
//	starts     | 0 | uvarint length | column of so many bytes: n × delta
//	generations= (uvarint samples passed over, plus 1 | uvarint generation)... | 0
//	changed    = column of n bits, lowest first
//	classes    = column of a byte for each changed sample
//	low        = column: lowest bytes of differences
//	mid        = column: second bytes, of those that have one
//	more       = column: the other bytes, lowest first
//	raw        = column: scales and floats
//	column     = block...: 64 KiB each but the last; there are as many as the column is long
//	block      = 0 | the bytes
//	           | 1 | the byte that all of them are
//	           | 2 | uvarint length | Huffman table and code as zstd has them: one stream below 1 KiB,
//	             four from there on
//	rest       = nothing | uvarint sender | uvarint seq | series | histograms | exemplars | metadata
//	series     = uvarint n | deltas of the n references | n × bytes (label bytes)
//	histograms = uvarint n | deltas of n references | deltas of n times | deltas of n starts
//	             | n × histogram
//	histogram  = flags u8 | varint schema | zero threshold f64 | sum f64
//	             | count | zero count | side (positive) | side (negative) | uvarint n, n × bound f64
//	             flags: bit 0, counts are floats; bits 1-2, the counter reset hint
//	             counts: f64, or uvarint where they are integers
//	side       = uvarint n, n × (varint offset, uvarint length)
//	             | uvarint n, n × bucket (f64, or varint: differences as in memory)
//	exemplars  = uvarint n | deltas of n references | deltas of n times | n × (value f64, bytes labels)
//	metadata   = uvarint n | n × (bytes metric, bytes type, bytes help, bytes unit)
//
//	bytes      = uvarint length | the bytes
//	f64        = 8 bytes, little-endian
//	deltas     = n × varint: the difference to the one before, to 0 first
//
// # Values
//
// A value is written relative to the one that the log has last for the same index: most are the
// same, or a few more units. The unit of a series, its scale, is a power of ten that makes its values
// whole; it begins with one and grows finer as values ask for it. Encoder and Decoder keep for each
// index the last value, the scale and the generation (the bases), 12 bytes; a frame that stands by
// itself has a value of 0, scale 0 and no generation for each sample. A generation is only
// written where it is not that of the index so far, or of the sample before where there is none.
//
//	class 0-7    a difference of 1-8 bytes, zigzag: units of the value, less units of the one before
//	             (0 where it has more than 2^50)
//	class 8-15   the same, after the scale is changed to the one that stands in raw
//	class 16-23  the first 1-8 bytes of the float; those that follow are zero. Lowest first
//	class 24-31  the last 1-8 bytes of the float XOR the one before; those ahead are zero
//	scale 0-9    a value is units / 10^scale
//	scale 16-25  a value is units × 10^-(scale-16), which rounds in another way
//
// An encoder chooses classes 0-15 only where they give the value back to the bit.
//
// Samples that come in no order are sorted by index first, those of one index staying in their
// order: gaps are small then.
//
// # What is lost with a frame
//
// In a log each frame builds on those before it, back to the begin of its epoch. The digest is one
// of all bases that the frame met. Where a frame is missing, those of its series are wrong from there
// on; the first later frame that meets one fails the digest and is refused (ErrLost), and so are
// those that meet a series of that one. An epoch ends with each cut of the log, when the log refuses a
// frame, and after 64 bytes for each series (but 1 MiB at least and 64 MiB at most), with which what
// is before matters no more. Its number is random.
//
// Nothing in a frame guards against damage on the way; the WAL's records and the streams do that.
// Decode refuses what no encoder wrote without reading or allocating beyond its limits.
package frame
