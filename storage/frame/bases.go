package frame

import "math/bits"

const (
	basePage = 256
	// maxBases bounds the indexes whose state is kept; all others are coded without.
	maxBases = 1 << 28

	scaleBits  = 5
	scaleMask  = 1<<scaleBits - 1
	maxBaseGen = 1<<(32-scaleBits) - 1
)

// bases is what the frames of a log so far say of each series: the last value, the scale it counts
// in and its generation. Both ends have the same. The zero value knows nothing.
type bases struct {
	pages []*basesPage
	keep  bool // false: each frame by itself
	used  int  // pages
}

type basesPage struct {
	value [basePage]uint64 // the bits
	about [basePage]uint32 // generation, above scale
}

// forget begins anew.
func (b *bases) forget() {
	for _, p := range b.pages {
		if p != nil {
			*p = basesPage{}
		}
	}
	b.used = 0
}

// page is that of an index. What is not kept has a page that knows nothing, and may be written to
// and cleared.
func (b *bases) page(index uint32, none *basesPage) *basesPage {
	if !b.keep || index >= maxBases {
		return none
	}
	n := int(index / basePage)
	if n >= len(b.pages) {
		b.pages = append(b.pages, make([]*basesPage, n+1-len(b.pages))...)
	}
	if b.pages[n] == nil {
		b.pages[n] = &basesPage{}
		b.used++
	}
	return b.pages[n]
}

// digest sums up bases in the order of their use, so that a reader who lacks one knows.
type digest uint64

const digestPrime = 0x9E3779B185EBCA87

func (d digest) add(value uint64, about uint32) digest {
	d = digest(bits.RotateLeft64(uint64(d), 25)) ^ digest(value+uint64(about)*0xC2B2AE3D27D4EB4F)
	return d * digestPrime
}

func (d digest) sum() uint32 { return uint32(d >> 32) }

// generation that the next sample of a series most likely has: the one known, else that of the
// sample before.
func generation(about, before uint32) uint32 {
	if g := about >> scaleBits; g != 0 {
		return g
	}
	return before
}

// about is what is kept of a generation and a scale.
func about(generation uint32, s scale) uint32 {
	if generation > maxBaseGen {
		generation = 0
	}
	return generation<<scaleBits | uint32(s)
}
