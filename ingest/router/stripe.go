package router

import (
	"sync"

	"github.com/barograph-db/barograph/storage/series"
)

const (
	numStripes = 64
	firstSlots = 16
)

// stripe finds the series of some fingerprints: open addressing with linear probing, at most three
// quarters full. A slot holds the fingerprint's low half, which also says where the search begins,
// above the index plus one; zero is no series. Whoever finds a slot compares the labels.
type stripe struct {
	mu struct {
		sync.RWMutex
		slots []uint64 // none, or a power of two
		used  int
	}
}

// stripeOf a fingerprint: by bits that neither the slots nor the shards go by.
func (t *table) stripeOf(fp series.Fingerprint) *stripe { return &t.stripes[fp>>32%numStripes] }

func slotOf(fp series.Fingerprint, index uint32) uint64 { return uint64(fp)<<32 | uint64(index+1) }

// findLocked returns the index of the series with the fingerprint that is says is the one.
func (s *stripe) findLocked(fp series.Fingerprint, is func(index uint32) bool) (uint32, bool) {
	if s.mu.used == 0 {
		return 0, false
	}
	mask := uint32(len(s.mu.slots) - 1)
	for i := uint32(fp) & mask; s.mu.slots[i] != 0; i = (i + 1) & mask {
		if slot := s.mu.slots[i]; uint32(slot>>32) == uint32(fp) && is(uint32(slot)-1) {
			return uint32(slot) - 1, true
		}
	}
	return 0, false
}

func (s *stripe) insertLocked(fp series.Fingerprint, index uint32) {
	if 4*(s.mu.used+1) > 3*len(s.mu.slots) {
		s.resizeLocked(max(firstSlots, 2*len(s.mu.slots)))
	}
	s.putLocked(slotOf(fp, index))
	s.mu.used++
}

func (s *stripe) resizeLocked(n int) {
	old := s.mu.slots
	s.mu.slots = make([]uint64, n)
	for _, slot := range old {
		if slot != 0 {
			s.putLocked(slot)
		}
	}
}

func (s *stripe) putLocked(slot uint64) {
	mask := uint32(len(s.mu.slots) - 1)
	i := uint32(slot>>32) & mask
	for s.mu.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.mu.slots[i] = slot
}

// removeLocked takes a series out that is there. What stands behind it in its run moves up, so that
// no search ends too early.
func (s *stripe) removeLocked(fp series.Fingerprint, index uint32) {
	slots, mask := s.mu.slots, uint32(len(s.mu.slots)-1)
	hole := uint32(fp) & mask
	for slots[hole] != slotOf(fp, index) {
		hole = (hole + 1) & mask
	}
	for i := (hole + 1) & mask; slots[i] != 0; i = (i + 1) & mask {
		if from := uint32(slots[i]>>32) & mask; (i-from)&mask >= (i-hole)&mask {
			slots[hole] = slots[i]
			hole = i
		}
	}
	slots[hole] = 0
	s.mu.used--
	if len(slots) > firstSlots && 8*s.mu.used < len(slots) {
		s.resizeLocked(len(slots) / 2)
	}
}
