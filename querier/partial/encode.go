package partial

import (
	"encoding/binary"
	"iter"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

const version = 1

// MaxSteps is the most steps that are encoded, MaxMembers the most series of a group with TopK and
// BottomK, MaxRows with Quantile, and MaxGroups the most groups.
const (
	MaxSteps   = 1 << 20
	MaxMembers = 1 << 24
	MaxRows    = 1 << 24
	MaxGroups  = 1 << 24
)

// The flags of a column above its notes.
const (
	flagMerged     = 1 << 5
	flagRefused    = 1 << 6
	flagHistograms = 1 << 7
)

// Append appends the set's encoding, from which Decode makes one that is the same to the bit.
func (s *Set) Append(dst []byte) []byte {
	for part := range s.Pieces(math.MaxInt) {
		dst = append(dst, part...)
	}
	return dst
}

// Pieces are encodings of sets that are together s, one at least, each of about so many bytes and of one
// group if that takes more. A piece is valid until the next.
func (s *Set) Pieces(size int) iter.Seq2[[]byte, int] {
	return func(yield func(piece []byte, groups int) bool) {
		var e encoder
		head := append([]byte(nil), version, byte(s.Op))
		head = binary.AppendUvarint(head, uint64(s.Steps))
		if s.Op.TakesParam() {
			head = e.pack(head, s.Params)
		}
		var groups, piece []byte
		for n, i := 0, 0; i == 0 || i < len(s.Groups); n = 0 {
			for groups = groups[:0]; i < len(s.Groups) && (n == 0 || len(groups) < size); i++ {
				groups = appendBytes(groups, s.Groups[i].Labels)
				groups = binary.LittleEndian.AppendUint64(groups, uint64(s.Groups[i].First))
				groups = e.column(groups, s.Groups[i].Column)
				n++
			}
			piece = binary.AppendUvarint(append(piece[:0], head...), uint64(n))
			piece = append(piece, groups...)
			if !yield(piece, n) || i == len(s.Groups) {
				return
			}
		}
	}
}

func appendBytes[B ~[]byte](dst []byte, b B) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// encoder has memory to be used again.
type encoder struct {
	floats   []float64
	lens     []float64
	ordinals []int64 // 0, 1, 2 and so on.
	packed   []byte
}

// looksDecimal reports whether some of the values have no more than three decimals. To look for a
// scale where there is none, as with most rates, would take a microsecond for each value.
func looksDecimal(vs []float64) bool {
	for _, v := range []float64{vs[0], vs[len(vs)/3], vs[len(vs)*2/3], vs[len(vs)-1]} {
		if v *= 1000; v != math.Trunc(v) {
			return false
		}
	}
	return true
}

// pack appends a column, as many values as a chunk may have at a time.
func (e *encoder) pack(dst []byte, vs []float64) []byte {
	for i := len(e.ordinals); i < min(len(vs), chunk.MaxDecimalSamples); i++ {
		e.ordinals = append(e.ordinals, int64(i))
	}
	for part := range slices.Chunk(vs, chunk.MaxDecimalSamples) {
		var c chunk.Chunk
		if looksDecimal(part) {
			c, e.packed = chunk.EncodeFloats(e.packed[:0], e.ordinals[:len(part)], part)
		} else {
			var a chunk.XORAppender
			for i, v := range part {
				a.Append(int64(i), v)
			}
			c, e.packed = a.Snapshot(e.packed[:0])
		}
		dst = append(dst, byte(c.Enc))
		dst = appendBytes(dst, c.Data)
	}
	return dst
}

func (e *encoder) column(dst []byte, c *Column) []byte {
	flags := int(c.notes) | bit(c.merged, flagMerged) | bit(c.refused, flagRefused) | bit(c.histograms != nil, flagHistograms)
	dst = append(dst, byte(flags))
	switch c.Op {
	case TopK, BottomK:
		return e.tops(dst, c)
	case Quantile:
		dst = binary.AppendUvarint(dst, uint64(len(c.rows)))
		for _, row := range c.rows {
			dst = e.present(dst, row, row)
		}
		return dst
	}
	dst = e.present(dst, c.values, c.values)
	if c.counts != nil {
		dst = e.pack(dst, c.counts)
	}
	if c.comp != nil {
		dst = e.masked(dst, c.values, c.comp)
	}
	if c.histograms != nil {
		dst = e.histograms(dst, c)
	}
	return dst
}

func bit(is bool, b int) int {
	if is {
		return b
	}
	return 0
}

// present appends where the mask is present, as the lengths of runs, absent ones first, and then
// the values there.
func (e *encoder) present(dst []byte, mask, values []float64) []byte {
	absent, from := true, 0
	for i, v := range mask {
		if IsAbsent(v) != absent {
			dst = binary.AppendUvarint(dst, uint64(i-from))
			absent, from = !absent, i
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(mask)-from))
	return e.masked(dst, mask, values)
}

// masked appends the values where the mask is present.
func (e *encoder) masked(dst []byte, mask, values []float64) []byte {
	e.floats = e.floats[:0]
	for i, v := range mask {
		if !IsAbsent(v) {
			e.floats = append(e.floats, values[i])
		}
	}
	return e.pack(dst, e.floats)
}

// tops appends the members that are still among the first, the entries of all steps as three
// columns, and what was left out.
func (e *encoder) tops(dst []byte, c *Column) []byte {
	members, number := c.living()
	dst = binary.AppendUvarint(dst, uint64(len(members)))
	for _, ls := range members {
		dst = appendBytes(dst, ls)
	}
	e.lens, e.floats = e.lens[:0], e.floats[:0]
	var owners []float64
	left := make([]float64, len(c.tops))
	for i, t := range c.tops {
		e.lens = append(e.lens, float64(len(t.entries)))
		left[i] = t.left
		for _, x := range t.entries {
			owners = append(owners, float64(number[x.member]))
			e.floats = append(e.floats, x.value)
		}
	}
	dst = e.pack(dst, e.lens)
	dst = e.pack(dst, owners)
	dst = e.pack(dst, e.floats)
	return e.present(dst, left, left)
}

// living returns the members that have an entry, and the number among them of each that has.
func (c *Column) living() ([]series.Labels, []int32) {
	number := make([]int32, len(c.members))
	for _, t := range c.tops {
		for _, e := range t.entries {
			number[e.member] = 1
		}
	}
	var members []series.Labels
	for i, lives := range number {
		if lives == 1 {
			number[i] = int32(len(members))
			members = append(members, c.members[i])
		}
	}
	return members, number
}

// The bits of a step that has histograms. The hints of sum and comp are above them.
const (
	bitSeen = 1 << iota
	bitSum
	bitComp
	bitReset
	bitNotReset

	sumHint  = 5
	compHint = 7
	stateEnd = 1 << 9
)

// histograms appends the state of each step and then the histograms, sums first.
func (e *encoder) histograms(dst []byte, c *Column) []byte {
	states := make([]float64, len(c.histograms))
	var sums, comps []*histogram.FloatHistogram
	for i := range c.histograms {
		t := &c.histograms[i]
		state := bit(t.seen, bitSeen) | bit(t.sum != nil, bitSum) | bit(t.comp != nil, bitComp) |
			bit(t.reset, bitReset) | bit(t.notReset, bitNotReset)
		if t.sum != nil {
			state |= int(t.sum.CounterResetHint) << sumHint
			sums = append(sums, t.sum)
		}
		if t.comp != nil {
			state |= int(t.comp.CounterResetHint) << compHint
			comps = append(comps, t.comp)
		}
		states[i] = float64(state)
	}
	dst = e.pack(dst, states)
	return e.layouts(e.layouts(dst, sums), comps)
}

// layouts appends histograms in runs that have one layout. Each of their numbers is a column over
// the run.
func (e *encoder) layouts(dst []byte, hs []*histogram.FloatHistogram) []byte {
	for len(hs) > 0 {
		n := 1
		for n < len(hs) && sameLayout(hs[0], hs[n]) {
			n++
		}
		dst = binary.AppendUvarint(dst, uint64(n))
		dst = e.layout(dst, hs[0])
		for i := range numbers(hs[0]) {
			e.floats = e.floats[:0]
			for _, h := range hs[:n] {
				e.floats = append(e.floats, *number(h, i))
			}
			dst = e.pack(dst, e.floats)
		}
		hs = hs[n:]
	}
	return dst
}

// numbers is how many numbers a histogram has beside its layout.
func numbers(h *histogram.FloatHistogram) int {
	return 3 + len(h.PositiveBuckets) + len(h.NegativeBuckets)
}

// number is one of them.
func number(h *histogram.FloatHistogram, i int) *float64 {
	switch i {
	case 0:
		return &h.Count
	case 1:
		return &h.Sum
	case 2:
		return &h.ZeroCount
	}
	if i -= 3; i < len(h.PositiveBuckets) {
		return &h.PositiveBuckets[i]
	}
	return &h.NegativeBuckets[i-len(h.PositiveBuckets)]
}

func sameLayout(a, b *histogram.FloatHistogram) bool {
	return a.Schema == b.Schema && math.Float64bits(a.ZeroThreshold) == math.Float64bits(b.ZeroThreshold) &&
		slices.Equal(a.PositiveSpans, b.PositiveSpans) && slices.Equal(a.NegativeSpans, b.NegativeSpans) &&
		slices.Equal(a.CustomValues, b.CustomValues)
}

func (e *encoder) layout(dst []byte, h *histogram.FloatHistogram) []byte {
	dst = binary.AppendVarint(dst, int64(h.Schema))
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(h.ZeroThreshold))
	for _, spans := range [][]histogram.Span{h.PositiveSpans, h.NegativeSpans} {
		dst = binary.AppendUvarint(dst, uint64(len(spans)))
		for _, s := range spans {
			dst = binary.AppendVarint(dst, int64(s.Offset))
			dst = binary.AppendUvarint(dst, uint64(s.Length))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(h.CustomValues)))
	return e.pack(dst, h.CustomValues)
}
