package series

import (
	"cmp"
	"iter"
	"math"
	"math/bits"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// Fingerprint is xxHash64 of the canonical label bytes of a series.
type Fingerprint uint64

// Shard is one of a power-of-two number of slices of the fingerprint space.
type Shard uint16

// Ref is a series' number in one head. Its low 32 bits are the series' index there, its high 32
// bits are the head's generation when it was given out, which grows whenever series are forgotten,
// so that a reference kept too long is recognised and refused instead of naming another series.
// Zero is no series.
type Ref uint64

// MakeRef joins an index and its generation (from 1 on).
func MakeRef(index, generation uint32) Ref { return Ref(generation)<<32 | Ref(index) }

// Index is the series' position in the head.
func (r Ref) Index() uint32 { return uint32(r) }

// Generation of the head when this reference was made.
func (r Ref) Generation() uint32 { return uint32(r >> 32) }

// Shard of a fingerprint, of 1<<bits shards.
func (f Fingerprint) Shard(bits uint8) Shard {
	if bits == 0 {
		return 0
	}
	return Shard(f >> (64 - bits))
}

// Kind says what a sample holds.
type Kind uint8

// The kinds of samples.
const (
	Float Kind = iota
	Histogram
	FloatHistogram
)

// Sample is one sample of any kind: the slow, general form. Hot paths use columns.
type Sample struct {
	T  int64 // milliseconds since the epoch
	ST int64 // start timestamp in milliseconds; 0 is unknown
	// Exactly one of the following by kind: H for Histogram, FH for FloatHistogram, else V.
	V  float64
	H  *histogram.Histogram
	FH *histogram.FloatHistogram
}

// Kind of the sample.
func (s Sample) Kind() Kind {
	switch {
	case s.H != nil:
		return Histogram
	case s.FH != nil:
		return FloatHistogram
	}
	return Float
}

// Stale reports whether the sample is a stale marker.
func (s Sample) Stale() bool {
	switch s.Kind() {
	case Histogram:
		return value.IsStaleNaN(s.H.Sum)
	case FloatHistogram:
		return value.IsStaleNaN(s.FH.Sum)
	}
	return value.IsStaleNaN(s.V)
}

// Better reports whether float value a wins over b for the same series and timestamp: a value
// beats a stale marker, else the larger bits win.
func Better(a, b float64) bool {
	if sa, sb := value.IsStaleNaN(a), value.IsStaleNaN(b); sa != sb {
		return sb
	}
	return math.Float64bits(a) > math.Float64bits(b)
}

// Selector asks for the series that match all Matchers and for their samples in [Mint, Maxt].
type Selector struct {
	// Mint and Maxt are inclusive, in milliseconds.
	Mint, Maxt int64
	Matchers   []*labels.Matcher
	// Shards to read; nil is all of them.
	Shards *ShardSet
	// SkipChunks asks for the labels only.
	SkipChunks bool
	// Limit is the most series wanted; 0 is no limit. Which ones is unspecified.
	Limit int
	// Take is asked before bytes are held for a result (labels and chunks); an error of it ends
	// the selection with that error. nil is no bound. It may be called from several goroutines. Long
	// loops ask for nothing now and then, holding no lock.
	Take func(bytes int64) error
}

// ShardSet is a set of shards among 1<<Bits.
type ShardSet struct {
	Bits uint8
	set  [1 << 16 / 64]uint64
}

// Add puts s into the set.
func (s *ShardSet) Add(shard Shard) { s.set[shard/64] |= 1 << (shard % 64) }

// Has reports whether the shard of f is in the set; a nil set has every shard.
func (s *ShardSet) Has(f Fingerprint) bool {
	if s == nil {
		return true
	}
	shard := f.Shard(s.Bits)
	return s.Contains(shard)
}

// Contains reports whether the shard is in the set, which is not nil.
func (s *ShardSet) Contains(shard Shard) bool { return s.set[shard/64]&(1<<(shard%64)) != 0 }

// All returns the shards of the set, which is not nil, in order.
func (s *ShardSet) All() iter.Seq[Shard] {
	return func(yield func(Shard) bool) {
		for i, word := range s.set {
			for ; word != 0; word &= word - 1 {
				if !yield(Shard(i*64 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}

// Len is how many shards are in the set, which is not nil.
func (s *ShardSet) Len() int {
	n := 0
	for _, word := range s.set {
		n += bits.OnesCount64(word)
	}
	return n
}

// Within returns the shards among 1<<to that have no series outside of the set, which is not nil.
func (s *ShardSet) Within(to uint8) *ShardSet {
	out := &ShardSet{Bits: to}
	for n := range 1 << to {
		first := Fingerprint(uint64(n) << (64 - to)) // A shift by 64 gives 0.
		last := first | ^Fingerprint(0)>>to
		whole := true
		for m := int(first.Shard(s.Bits)); whole && m <= int(last.Shard(s.Bits)); m++ {
			whole = s.Contains(Shard(m))
		}
		if whole {
			out.Add(Shard(n))
		}
	}
	return out
}

// Without returns the shards that are not in seen, nil if there are none, and adds them to it. Both are of
// the same bits.
func (s *ShardSet) Without(seen *ShardSet) *ShardSet {
	out, some := &ShardSet{Bits: s.Bits}, false
	for i := range s.set {
		out.set[i] = s.set[i] &^ seen.set[i]
		seen.set[i] |= s.set[i]
		some = some || out.set[i] != 0
	}
	if !some {
		return nil
	}
	return out
}

// Compare orders series by (fingerprint, label bytes).
func Compare(af Fingerprint, a Labels, bf Fingerprint, b Labels) int {
	if c := cmp.Compare(af, bf); c != 0 {
		return c
	}
	return CompareBytes(a, b)
}
