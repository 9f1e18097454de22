package chunk

import (
	"encoding/binary"
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Library is the encoding's number in tsdb/chunkenc, EncNone if that does not know it.
func (e Encoding) Library() chunkenc.Encoding {
	switch e {
	case XOR:
		return chunkenc.EncXOR
	case XOR2:
		return chunkenc.EncXOR2
	case Histogram:
		return chunkenc.EncHistogram
	case FloatHistogram:
		return chunkenc.EncFloatHistogram
	case HistogramST:
		return chunkenc.EncHistogramST
	case FloatHistogramST:
		return chunkenc.EncFloatHistogramST
	}
	return chunkenc.EncNone
}

// String is the encoding's name; in tsdb/chunkenc, if that knows it.
func (e Encoding) String() string {
	switch e {
	case Decimal:
		return "decimal"
	case Packed:
		return "packed"
	}
	return e.Library().String()
}

// known reports whether it is an encoding at all.
func (e Encoding) known() bool {
	return e > None && e <= FloatHistogramST || e == Decimal || e == Packed
}

// float reports whether the encoding holds floats, which are read in columns.
func (e Encoding) float() bool { return e == XOR || e == XOR2 || e == Decimal }

// libraryChunk views c's bytes as the library's chunk. Histogram layouts are checked first: the
// library would allocate whatever number of buckets damaged bytes ask for.
func libraryChunk(c Chunk) (chunkenc.Chunk, error) {
	if len(c.Data) < 3 {
		return nil, corruptf("%d bytes", len(c.Data))
	}
	num := int(binary.BigEndian.Uint16(c.Data))
	switch c.Enc {
	case HistogramST, FloatHistogramST:
		num &= 1<<14 - 1 // The bits above say how the chunk began.
		fallthrough
	case Histogram, FloatHistogram:
		if err := checkLayout(c.Data[3:]); err != nil {
			return nil, err
		}
	case XOR2:
	default:
		return nil, corruptf("encoding %d", c.Enc)
	}
	if num != c.Samples || num > 8*len(c.Data) {
		return nil, corruptf("%d samples where %d are promised", num, c.Samples)
	}
	return chunkenc.FromData(c.Enc.Library(), c.Data)
}

// maxBuckets bounds the buckets of one histogram on each side, far above what any client makes.
const maxBuckets = 1 << 16

// checkLayout reads the front of a histogram chunk, which names the buckets that all of its
// samples have:
//
//	zero threshold: u8, 255 then 64 bits | schema varbit
//	| positive spans | negative spans, each: count, then (length, offset)...
//	| custom bounds, for that schema only
func checkLayout(b []byte) error {
	r := bitReader{b: b}
	if r.read(8) == 255 {
		r.read(64)
	}
	schema := int64(r.varbit(true))
	if !r.failed && !histogram.IsExponentialSchema(int32(schema)) &&
		!histogram.IsCustomBucketsSchema(int32(schema)) {
		return corruptf("histogram schema %d", schema)
	}
	for range 2 {
		var buckets uint64
		for n := r.varbit(false); n > 0 && !r.failed; n-- {
			length := r.varbit(false)
			r.varbit(true)
			if length > maxBuckets || buckets+length > maxBuckets {
				return corruptf("histogram of more than %d buckets", maxBuckets)
			}
			buckets += length
		}
		if buckets > 8*uint64(len(b)) { // A bucket has at least a bit in each sample.
			return corruptf("histogram of %d buckets in %d bytes", buckets, len(b))
		}
	}
	if r.failed {
		return corruptf("histogram layout cut short")
	}
	return nil
}

// bitReader reads bits one field at a time; for what is not worth xorDecoder's trouble.
type bitReader struct {
	b      []byte
	pos    int
	acc    uint64
	n      uint8
	failed bool // Past the end; all is zero from there.
}

func (r *bitReader) read(width uint8) uint64 {
	if width > 32 {
		high := r.read(width - 32)
		return high<<32 | r.read(32)
	}
	if r.n < width {
		r.pos, r.acc, r.n = load(r.b, r.pos, r.acc, r.n)
	}
	if r.failed = r.failed || r.n < width; r.failed {
		return 0
	}
	x := r.acc >> (64 - width)
	r.acc <<= width
	r.n -= width
	return x
}

// varbit reads the library's variable-width number: ones that choose the width, then the number.
func (r *bitReader) varbit(signed bool) uint64 {
	widths := [9]uint8{0, 3, 6, 9, 12, 18, 25, 56, 64}
	ones := 0
	for ones < 8 && r.read(1) == 1 {
		ones++
	}
	width := widths[ones]
	if width == 0 {
		return 0
	}
	x := r.read(width)
	if signed && width < 64 && x > 1<<(width-1) {
		x -= 1 << width
	}
	return x
}

// guarded walks a library chunk and turns a panic over damaged bytes into an error.
type guarded struct {
	chunkenc.Iterator
	err error
}

func (g *guarded) Next() (typ chunkenc.ValueType) {
	if g.err != nil {
		return chunkenc.ValNone
	}
	defer g.guard(&typ)
	return g.Iterator.Next()
}

func (g *guarded) guard(typ *chunkenc.ValueType) {
	if p := recover(); p != nil {
		g.err = corruptf("%v", p)
		*typ = chunkenc.ValNone
	}
}

func (g *guarded) Err() error {
	if g.err != nil {
		return g.err
	}
	if err := g.Iterator.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}
