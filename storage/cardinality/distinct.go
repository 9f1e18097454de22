package cardinality

import (
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Distinct counts different things by the least of their hashes. The zero value counts up to nothing: see
// NewDistinct.
type Distinct struct {
	limit  int
	hashes []uint64
	sorted bool // and each is there once, no more of them than the limit
}

// NewDistinct returns a count that is exact up to the limit.
func NewDistinct(limit int) Distinct { return Distinct{limit: limit, sorted: true} }

// Add adds a text, which may be there.
func (d *Distinct) Add(text string) { d.add(xxhash.Sum64String(text)) }

// AddPair adds a label.
func (d *Distinct) AddPair(name, value string) {
	const odd = 0x9e3779b97f4a7c15
	h := (xxhash.Sum64String(name)*odd ^ xxhash.Sum64String(value)) * odd
	d.add(h ^ h>>32)
}

func (d *Distinct) add(hash uint64) {
	if d.sorted && len(d.hashes) == d.limit && (d.limit == 0 || hash >= d.hashes[d.limit-1]) {
		return
	}
	d.hashes, d.sorted = append(d.hashes, hash), false
	if len(d.hashes) >= 2*max(d.limit, 1) {
		d.sort()
	}
}

func (d *Distinct) sort() {
	if d.sorted {
		return
	}
	slices.Sort(d.hashes)
	d.hashes = slices.Compact(d.hashes)
	d.hashes, d.sorted = d.hashes[:min(len(d.hashes), d.limit)], true
}

// Merge adds what another has counted.
func (d *Distinct) Merge(o Distinct) {
	d.limit = min(d.limit, o.limit)
	d.hashes, d.sorted = slices.Concat(d.hashes, o.hashes), false
	d.sort()
}

// Count is how many there are.
func (d *Distinct) Count() uint64 {
	d.sort()
	n := len(d.hashes)
	if n < d.limit || n < 2 {
		return uint64(n)
	}
	// So many of them lie below the last, of all that there may be.
	share := float64(d.hashes[n-1]) / math.MaxUint64
	return uint64(float64(n-1) / share)
}

// Held is how many hashes there are in it.
func (d *Distinct) Held() int { return len(d.hashes) }
