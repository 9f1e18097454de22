package series

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Digest tells whether two nodes have the same samples. Digests of disjoint samples add up, in any order.
type Digest struct {
	// Sum is of the hashes of series, each of its fingerprint and its samples. It wraps around.
	Sum uint64
	// Samples is how many they are.
	Samples uint64
}

// Add adds what another digest is of.
func (d *Digest) Add(o Digest) {
	d.Sum += o.Sum
	d.Samples += o.Samples
}

// Digester makes the digest of samples of one series. A sample counts by what any reader can tell of it,
// not by how it is encoded: those for which CompareValues is 0 are the same. The zero value is
// for no series; Begin comes first.
type Digester struct {
	words   []byte
	samples uint64
	scratch []byte
}

// Begin forgets all samples and takes up those of a series.
func (d *Digester) Begin(f Fingerprint) {
	d.words = binary.LittleEndian.AppendUint64(d.words[:0], uint64(f))
	d.samples = 0
}

// Floats adds samples in the order of their times, none of which has a start timestamp.
func (d *Digester) Floats(ts []int64, vs []float64) {
	at := len(d.words)
	d.words = slices.Grow(d.words, 16*len(ts))[:at+16*len(ts)]
	words := d.words[at:]
	for i, v := range vs[:len(ts)] {
		binary.LittleEndian.PutUint64(words[16*i:], uint64(ts[i]))
		binary.LittleEndian.PutUint64(words[16*i+8:], math.Float64bits(v))
	}
	d.samples += uint64(len(ts))
}

// Add adds a sample of any kind, later than those before.
func (d *Digester) Add(s Sample) {
	word := math.Float64bits(s.V)
	if s.Kind() != Float || s.ST != 0 {
		d.scratch = s.appendValue(d.scratch[:0])
		word = xxhash.Sum64(d.scratch)
	}
	d.words = binary.LittleEndian.AppendUint64(d.words, uint64(s.T))
	d.words = binary.LittleEndian.AppendUint64(d.words, word)
	d.samples++
}

// Digest of what was added since Begin. Without samples it is that of nothing.
func (d *Digester) Digest() Digest {
	if d.samples == 0 {
		return Digest{}
	}
	return Digest{Sum: xxhash.Sum64(d.words), Samples: d.samples}
}

// appendValue lays out what a sample says beside its time: equal if CompareValues is 0.
func (s Sample) appendValue(b []byte) []byte {
	b = appendWord(append(b, byte(s.Kind())), uint64(s.ST))
	switch {
	case s.Kind() == Float:
		return appendWord(b, math.Float64bits(s.V))
	case s.Stale():
		return b // Only the marker is kept of them.
	case s.H != nil:
		return append(b, histogramBytes(s.H)...)
	}
	return append(b, floatHistogramBytes(s.FH)...)
}
