// Package chunk turns samples into bytes and back, one file per encoding; it does no I/O.
//
// A chunk holds consecutive samples of one series, in time order, of one kind. It is open while
// the head appends to it and closed afterwards. Encodings 1-6 carry exactly the payload that
// Prometheus' tsdb/chunkenc writes for the same samples (so remote read may stream them as they
// lie); later encodings are our own.
//
// # Decimal
//
// Floats mostly come from decimal numbers of few digits. A Decimal chunk has the integers these are
// when scaled by a power of ten, and packs them by what they differ from a prediction. It only
// makes sense of whole columns, so it is for closed chunks: the head re-encodes full chunks, a
// flush makes one of each series' slot. What is read back is what was written, to the bit.
//
//	chunk      = form u8 | [uvarint len of times | times] | scale u8 | [exceptions] | varint x0 | values
//	             form: low half of the times, high half of the values
//	times, values by their form:
//	             0 flat    nothing, not even a len: all are x0; times: all steps are equal, mint and maxt say which
//	             1 line    varint step (values only)
//	             2 level   blocks of y
//	             3 delta   blocks of y's step
//	             4 delta2  varint first step, blocks of the step's change
//	             5 grid    blocks of y less i*step, step being (maxt-mint)/(samples-1) rounded (times only)
//	             7 shared  times: a column outside of the chunk, see below
//	             +8        uvarint divisor before that, else 1
//	             with x0 = mint for times, y = (x-x0)/divisor; blocks begin after what is known by then
//	block      = width u8: 0-56, +64 patches follow, +128 base follows
//	             | [varint base less that of the block before] | packed | [patches]
//	           = 57-63: 56 + flags, +64, +128 | [varint base ...] | width u8
//	             | [flag 1: bitmap of those not zero, others are left out] | packed
//	             | [flag 2: unary: for each, what is above width: that many zeros and a one] | [patches]
//	             flag 4, with 2 only: integers less base are zigzag
//	packed     = (integer-base) in width bits each, lowest first; 64 integers, the last block fewer
//	patches    = count u8 | high u8 | (position 6 bits, zigzag of what is above width: high bits)...
//	scale      = 0-18: i/10^e | 33-50: i*1e-(scale-32) | 64: i is the float's bits; +128 exceptions follow
//	           | 65: split
//	exceptions = uvarint count<<1|differ | uvarint gap... | f64 le, once or for each if they differ
//	split      = 65 | right u8: 48-56 | shift u8 | num u8: 0-128 | u16 le... | varint x0 | codes | rights
//	             the float's bits are left<<right | r<<shift; codes, in the values' form, number the
//	             left parts of the list, or, if num is 0, are these; rights: each r in right-shift bits
//
// Bits fill bytes from the lowest on; packed, bitmap, unary, patches and rights end with a whole
// byte. The choice between scales, forms and widths is by size. All arithmetic on integers wraps
// around at 64 bits.
//
// # Packed
//
// The numbers of native histograms are columns as well: each bucket is a counter, or a gauge, of its
// own. A Packed chunk has the histograms of several chunks of tsdb/chunkenc, as runs, and says of
// each run what that chunk said of counter resets; what all histograms of a run have in common, their
// layout, is there once for all runs that follow with the same one, which are a group. The iterator
// gives what the library's would have, to the bit, and ToLibrary the chunks themselves.
//
//	chunk   = kind u8: 1 floats, 2 starts | form u8 | [uvarint len of times | times] | [ints: start timestamps]
//	          | uvarint runs | run... | group...
//	run     = uvarint samples<<3 | reset<<1 | fresh | [layout, if fresh: the run begins a group]
//	          reset: 0 unknown, 1 not, 2 reset, 3 gauge, as the library has it
//	layout  = varint schema | f64 le zero threshold | spans positive | spans negative | bounds
//	spans   = uvarint count | (varint offset, uvarint length)...
//	bounds  = uvarint count | f64 le...
//	group   = floats: sums | column: counts | column: zero counts | column: each bucket...
//	          columns are floats if the histograms are, else ints: of buckets their counts, not what
//	          they differ by; of the counts what they are above all buckets' and the zero count
//	ints    = form u8 | varint x0 | values, as above
//	floats  = form u8 | scale u8 ..., as above
//
// A stale marker has only its sum; in the other columns anything may stand.
//
// # Times in common
//
// The series of a target are mostly scraped together, and then have equal timestamps. Where rows are
// kept with such columns (package block), a chunk may refer to one instead: then Chunk.Times has it,
// decoded once for all that do. Decimal and Packed chunks can; DecodeRow and AppendRow are where chunks
// come to be so and become whole again.
//
//	column     = uvarint samples | varint mint | uvarint maxt-mint | form u8 | times
//
// # Row
//
// What Pebble keeps for one series and slot is a row: the closed chunks of that series, by start.
//
//	row    = version u8 (2) | chunk...
//	chunk  = head u8 | [encoding u8] | [place] | [uvarint len(data)] | data
//	head   = bits 0-1, the place:
//	           0 given    uvarint samples | varint mint | uvarint maxt-mint
//	           1 follows  as many samples as the chunk before, in as long a time, one mean step after its end
//	           2 column   varint number of the column, less the one expected
//	           3 next     the column expected: 0, then the one after the last that was named
//	         bit 2: the encoding is not that of the chunk before, the first being taken to follow a Decimal
//	         bit 3: the data goes to the row's end, without its len; so it does for the last chunk alone
//
// The first chunk's mint is absolute, the others' are relative to the mint before. Chunks of a row
// may overlap in time (late samples): readers join them with NewIterator, which resolves doubled
// timestamps by series.Resolve.
package chunk
