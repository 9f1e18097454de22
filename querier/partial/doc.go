// Package partial holds what an aggregation has come to over some of its series: a column with one
// accumulator for each step, to which series are added and which merge with those of other series,
// whoever read them. It does no I/O.
//
// A column of values has Absent at each step without a value. Absent is the stale marker, which is
// never a value: queries leave stale markers out, and no arithmetic makes one.
//
// Adding series one by one, in their order, computes bit for bit what Prometheus' engine does:
//
//	Sum, Avg          a sum with what rounding took from it, and a count; the same for histograms
//	Stddev, Stdvar    count, mean and sum of squares of the differences to it
//	TopK, BottomK     for each step a heap of k values and whose they are
//	Quantile          all values
//	others            a value
//
// Merging adds in another order, which may change the last bits of sums. Merge and Finish refuse
// where it would change more: infinite sums, a variance that is small beside the mean (its digits
// are those of rounding), a place among the first k for which several series tie, histograms that
// meet floats or whose zero buckets differ in width. The caller then adds all series one by one, or
// asks the engine.
//
// # Encoding
//
// A set of columns, one for each group, is encoded so:
//
//	set        = version u8 (1) | op u8 | uvarint steps | [params] | uvarint groups | group...
//	params     = floats, one for each step            TopK, BottomK, Quantile
//	group      = bytes labels | u64 first | column       first: the fingerprint of its first series
//	column     = flags u8 | body                      flags: 1 histograms ignored, 2 mixed with floats,
//	                                                  4 resets collide, 8 bounds reduced, 32 merged,
//	                                                  64 refused, 128 histograms follow
//	body       = present | [counts] | [comp] | [histograms]        all but these:
//	           | uvarint rows | present...                         Quantile
//	           | uvarint members | bytes labels... | lens | owners | values | present
//	                                                               TopK, BottomK
//	present    = uvarint run... | floats              runs of steps, absent ones first, then present
//	                                                  ones and so on; the values at the latter
//	counts     = floats, one for each step            Avg, Stddev, Stdvar
//	comp       = floats, one for each present value   Sum, Avg: lost by rounding; Stddev, Stdvar: mean
//	lens       = floats, one for each step            how many entries of the heap
//	owners     = floats, one for each entry           its number among the members
//	values     = floats, one for each entry           in the order of the heap; then, as present, the
//	                                                  best value left out at each step
//	histograms = states | layouts of the sums | layouts of what rounding took from them
//	states     = floats, one for each step            1 seen, 2 has a sum, 4 has comp, 8 and 16 a reset
//	                                                  and none was seen, then 2 bits each: hints of both
//	layouts    = (uvarint run | layout | floats...)...   run histograms of one layout: their counts, sums,
//	                                                  zero counts, and each bucket's values
//	layout     = varint schema | f64 zero threshold | spans positive | spans negative
//	           | uvarint n | floats, n custom bounds
//	spans      = uvarint n | (varint offset | uvarint length)...
//	floats     = (encoding u8 | bytes payload)...     4096 values each, the last fewer
//	bytes      = uvarint length | bytes
//
// The payload of floats is that of a chunk with times 0, 1, 2 and so on, which take no space: see
// storage/chunk. f64 and u64 are little endian. What carries a set has its checksum.
package partial
