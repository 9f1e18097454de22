package head

import (
	"sync"

	"github.com/barograph-db/barograph/storage/series"
)

// directory finds series by fingerprint: open addressing with linear probing, at most three
// quarters full. A slot holds the fingerprint's low half, which also says where the search begins,
// above the series' index plus one; zero is no series. Whoever finds a slot compares the labels.
type directory struct {
	mu struct {
		sync.RWMutex
		slots []uint64
		used  int
	}
}

func slotOf(fp series.Fingerprint, index uint32) uint64 {
	return uint64(fp)<<32 | uint64(index+1)
}

func home(slot uint64) uint32 { return uint32(slot >> 32) }

func (d *directory) len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.mu.used
}

// findLocked returns the index of the series with the fingerprint that is says is the one.
func (d *directory) findLocked(fp series.Fingerprint, is func(index uint32) bool) (uint32, bool) {
	if d.mu.used == 0 {
		return 0, false
	}
	mask := uint32(len(d.mu.slots) - 1)
	for i := uint32(fp) & mask; d.mu.slots[i] != 0; i = (i + 1) & mask {
		if slot := d.mu.slots[i]; home(slot) == uint32(fp) && is(uint32(slot)-1) {
			return uint32(slot) - 1, true
		}
	}
	return 0, false
}

func (d *directory) insertLocked(fp series.Fingerprint, index uint32) {
	if 4*(d.mu.used+1) > 3*len(d.mu.slots) {
		old := d.mu.slots
		d.mu.slots = make([]uint64, max(1024, 2*len(old)))
		for _, slot := range old {
			if slot != 0 {
				d.putLocked(slot)
			}
		}
	}
	d.putLocked(slotOf(fp, index))
	d.mu.used++
}

func (d *directory) putLocked(slot uint64) {
	mask := uint32(len(d.mu.slots) - 1)
	i := home(slot) & mask
	for d.mu.slots[i] != 0 {
		i = (i + 1) & mask
	}
	d.mu.slots[i] = slot
}

// removeLocked takes a series out. What stands behind it in its run moves up, so that no search
// ends too early.
func (d *directory) removeLocked(fp series.Fingerprint, index uint32) {
	mask := uint32(len(d.mu.slots) - 1)
	hole := uint32(fp) & mask
	for d.mu.slots[hole] != slotOf(fp, index) {
		hole = (hole + 1) & mask
	}
	for i := (hole + 1) & mask; d.mu.slots[i] != 0; i = (i + 1) & mask {
		if from := home(d.mu.slots[i]) & mask; (i-from)&mask >= (i-hole)&mask {
			d.mu.slots[hole] = d.mu.slots[i]
			hole = i
		}
	}
	d.mu.slots[hole] = 0
	d.mu.used--
}
