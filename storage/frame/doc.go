// Package frame encodes and decodes frames: a batch of samples for one node, addressed by short
// series references. One layout serves the wire, the WAL and the outbox.
//
// A Frame in memory is columns, not rows: the writer fills them in one loop, the head reads them
// in one loop, and on disk and wire like bytes lie together, so that they compress even when the
// references come in random order.
//
// # Layout
//
//	frame      = version u8 (1) | flags u8 | body
//	             flags: bit 0, the body is one s2 block; other bits are 0
//	body       = uvarint sender | uvarint seq
//	             | series | floats | histograms | exemplars | metadata
//	series     = uvarint n | deltas of the n references | n × bytes (label bytes)
//	floats     = uvarint n | deltas of n references | deltas of n times | values | starts
//	values     = n × class, 4 bits each, low half first | the bytes of each value
//	starts     = u8, 1 if there are start timestamps, then deltas of n starts, 0 where unknown
//	histograms = uvarint n | deltas of n references | deltas of n times | deltas of n starts
//	             | n × histogram
//	histogram  = flags u8 | varint schema | zero threshold f64 | sum f64
//	             | count | zero count | side (positive) | side (negative) | uvarint n, n × bound f64
//	             flags: bit 0, counts are floats; bits 1-2, the counter reset hint
//	             counts: f64, or uvarint where they are integers
//	side       = uvarint n, n × (varint offset, uvarint length)
//	             | uvarint n, n × bucket (f64, or varint: differences as in memory)
//	exemplars  = uvarint n | deltas of n references | deltas of n times | values | n × bytes (labels)
//	metadata   = uvarint n | n × (bytes metric, bytes type, bytes help, bytes unit)
//
//	bytes      = uvarint length | the bytes
//	f64        = 8 bytes, little-endian
//	deltas     = n × varint: the difference to the one before, to 0 first
//
// A value's class says how many bytes it has and what they are. Most values in practice are small
// integers or floats that end in zero bytes; both are short, and alike ones stay alike, so that s2
// finds them.
//
//	class 0-7   an integer from 0 to 2^53-1 in that many bytes, little-endian
//	class 8-15  the first 1-8 bytes of the big-endian float; those that follow are zero
//
// A section that is not there is the one byte of n = 0.
//
// Nothing in a frame guards against damage on the way; the WAL's records and the streams do that.
// Decode refuses what no encoder wrote without reading or allocating beyond its limits.
package frame
