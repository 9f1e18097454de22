package index

import (
	"github.com/cespare/xxhash/v2"
)

// pair is one label, a name with a value, and the series that carry it.
type pair struct {
	value string
	name  uint32
	hash  uint32
	postings
}

const pairPage = 512

// pairs numbers labels and finds their numbers by content. Numbers are dense and given out anew
// when the last series with a label is gone. Labels lie in pages, so that growth moves none.
type pairs struct {
	pages [][]pair
	used  uint32 // numbers below this one are in use or in free
	free  []uint32

	// table finds numbers by hash: open addressing with linear probing, number plus one in each
	// slot, zero for none, at most three quarters full.
	table []uint32
	live  int
}

func (ps *pairs) at(n uint32) *pair { return &ps.pages[n/pairPage][n%pairPage] }

func hashPair(name uint32, value []byte) uint32 {
	h := (xxhash.Sum64(value) ^ uint64(name)) * 0x9e3779b97f4a7c15
	return uint32(h >> 32)
}

// find returns the number of a label.
func (ps *pairs) find(name uint32, value []byte, hash uint32) (uint32, bool) {
	if len(ps.table) == 0 {
		return 0, false
	}
	mask := uint32(len(ps.table) - 1)
	for i := hash & mask; ps.table[i] != 0; i = (i + 1) & mask {
		n := ps.table[i] - 1
		if p := ps.at(n); p.hash == hash && p.name == name && p.value == string(value) {
			return n, true
		}
	}
	return 0, false
}

// insert numbers a label that is not there yet.
func (ps *pairs) insert(name uint32, value []byte, hash uint32) uint32 {
	if 4*(ps.live+1) > 3*len(ps.table) {
		ps.grow()
	}
	var n uint32
	if last := len(ps.free) - 1; last >= 0 {
		n, ps.free = ps.free[last], ps.free[:last]
	} else {
		n = ps.used
		ps.used++
		if n%pairPage == 0 {
			ps.pages = append(ps.pages, make([]pair, pairPage))
		}
	}
	*ps.at(n) = pair{value: string(value), name: name, hash: hash}
	ps.live++
	ps.put(n)
	return n
}

func (ps *pairs) put(n uint32) {
	mask := uint32(len(ps.table) - 1)
	i := ps.at(n).hash & mask
	for ps.table[i] != 0 {
		i = (i + 1) & mask
	}
	ps.table[i] = n + 1
}

func (ps *pairs) grow() {
	old := ps.table
	ps.table = make([]uint32, max(64, 2*len(old)))
	for _, slot := range old {
		if slot != 0 {
			ps.put(slot - 1)
		}
	}
}

// remove forgets a label. What stands behind it in its run of the table moves up, so that no
// search ends too early.
func (ps *pairs) remove(n uint32) {
	mask := uint32(len(ps.table) - 1)
	hole := ps.at(n).hash & mask
	for ps.table[hole] != n+1 {
		hole = (hole + 1) & mask
	}
	for i := (hole + 1) & mask; ps.table[i] != 0; i = (i + 1) & mask {
		home := ps.at(ps.table[i]-1).hash & mask
		if (i-home)&mask >= (i-hole)&mask {
			ps.table[hole] = ps.table[i]
			hole = i
		}
	}
	ps.table[hole] = 0
	*ps.at(n) = pair{}
	ps.free = append(ps.free, n)
	ps.live--
}
