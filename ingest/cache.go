package ingest

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/barograph-db/barograph/storage/series"
)

// The cache maps keys to references by open addressing. A slot of 24 bytes has all there is to know
// of a key: 96 bits of it, the reference, and when it was last used. Slots of 16 bytes that number
// an entry elsewhere were tried: a second miss of the processor's cache cost more (a third of the
// look-up) than the larger slots, and the two together took more memory.
//
// The slots are split by the key's first bits into tables, so that one grows, or forgets what was
// long unused, without the others: a few thousand slots are moved under the lock, not all of them.
const (
	tableBits  = 6
	numTables  = 1 << tableBits
	firstSlots = 16
)

// A slot is free while its ref is zero.
type slot struct {
	hi   uint64
	ref  series.Ref
	lo   uint32
	used uint32 // the epoch of its last use; atomic, as it is written under the read lock
}

// lostRef stands for a reference that the storage has forgotten: the key is to be looked up anew.
const lostRef = ^series.Ref(0)

type table struct {
	slots   []slot   // a power of two
	origins []Origin // of the slots; nil while none of the keys has one
	used    int
}

type cache struct {
	perTable int           // the most keys of one table
	idle     uint32        // epochs
	tidied   atomic.Uint32 // the epoch of the last tidy

	mu struct {
		sync.RWMutex
		tables [numTables]table
		keys   int
	}
}

func newCache(capacity int, idle uint32) *cache {
	c := &cache{perTable: max(capacity/numTables, 1), idle: idle}
	for i := range c.mu.tables {
		c.mu.tables[i].slots = make([]slot, firstSlots)
	}
	return c
}

// lookup sets refs[i] for each run, zero where it is not known or refused by the decoder, and returns
// how many are zero. It sets origins[i] too, unless there are none. The first loop is kept free of all
// else, so that the processor waits for the memory of several runs at once.
func (c *cache) lookup(refs []series.Ref, origins []Origin, runs []Run, epoch uint32) (missing int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	tables := &c.mu.tables
	refs = refs[:len(runs)]
	for i := range runs {
		k := runs[i].Key
		t := &tables[k.Hi>>(64-tableBits)]
		slots := t.slots
		for p := k.Hi; ; p++ {
			s := &slots[p&uint64(len(slots)-1)]
			if s.hi == k.Hi && s.lo == uint32(k.Lo) || s.ref == 0 {
				refs[i] = s.ref
				if i < len(origins) {
					origins[i] = t.origin(p)
				}
				if atomic.LoadUint32(&s.used) != epoch && s.ref != 0 {
					atomic.StoreUint32(&s.used, epoch)
				}
				break
			}
		}
	}
	for i, r := range refs {
		if r == 0 || r == lostRef || runs[i].Reason != 0 {
			refs[i] = 0
			missing++
		}
	}
	return missing
}

// insert remembers the references of some runs. It returns how many keys were forgotten to make
// room.
func (c *cache) insert(refs []series.Ref, origins []Origin, runs []Run, which []uint32, epoch uint32) (evicted int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range which {
		k := runs[i].Key
		t := &c.mu.tables[k.Hi>>(64-tableBits)]
		at := t.find(k)
		if t.slots[at].ref == 0 && (t.used+1 > len(t.slots)/4*3 || t.used >= c.perTable) {
			evicted += c.makeRoom(t, epoch)
			at = t.find(k)
		}
		if t.slots[at].ref == 0 {
			t.used++
			c.mu.keys++
		}
		t.slots[at] = slot{hi: k.Hi, lo: uint32(k.Lo), ref: refs[i], used: epoch}
		if len(origins) > 0 {
			t.setOrigin(at, origins[i])
		}
	}
	c.mu.keys -= evicted
	return evicted
}

// forget marks the references of some runs as lost, unless another request has renewed them since.
func (c *cache) forget(refs []series.Ref, runs []Run, which []uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range which {
		k := runs[i].Key
		t := &c.mu.tables[k.Hi>>(64-tableBits)]
		if s := &t.slots[t.find(k)]; s.ref != 0 && s.ref == refs[i] {
			s.ref = lostRef
		}
	}
}

func (c *cache) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.keys
}

// find returns the place of the slot that holds k, or of the free one where it belongs.
func (t *table) find(k Key) int {
	for p := k.Hi; ; p++ {
		at := int(p & uint64(len(t.slots)-1))
		if s := &t.slots[at]; s.ref == 0 || s.hi == k.Hi && s.lo == uint32(k.Lo) {
			return at
		}
	}
}

// origin of the slot that p, which may be larger than the table, comes to.
func (t *table) origin(p uint64) Origin {
	if t.origins == nil {
		return 0
	}
	return t.origins[p&uint64(len(t.origins)-1)]
}

func (t *table) setOrigin(at int, o Origin) {
	if t.origins == nil {
		if o == 0 {
			return
		}
		t.origins = make([]Origin, len(t.slots))
	}
	t.origins[at] = o
}

// makeRoom rebuilds t: without the keys that were idle for long, without the least recently used
// quarter if it stands at its bound all the same, and larger when it needs to be.
func (c *cache) makeRoom(t *table, epoch uint32) (evicted int) {
	oldest := epoch - min(c.idle, epoch)
	live := make([]int32, 0, t.used)
	for i := range t.slots {
		if t.slots[i].live(oldest) {
			live = append(live, int32(i))
		}
	}
	old := *t
	if len(live) >= c.perTable {
		slices.SortFunc(live, func(a, b int32) int { return int(int64(old.slots[b].used) - int64(old.slots[a].used)) })
		live = live[:len(live)-len(live)/4-1]
	}
	evicted = t.used - len(live)
	// At most half full, at least a quarter.
	*t = table{slots: make([]slot, max(firstSlots, 1<<bits.Len(uint(len(live)*2)))), used: len(live)}
	for _, i := range live {
		s := &old.slots[i]
		at := t.find(Key{Hi: s.hi, Lo: uint64(s.lo)})
		t.slots[at] = *s
		t.setOrigin(at, old.origin(uint64(i)))
	}
	return evicted
}

// tidyTables is how many tables an epoch's tidy looks at: a few, so that lookups wait for a millisecond.
const tidyTables = 4

// tidy lets go of keys that were idle for long, and of the memory that they took, in some of the
// tables. It does so once in an epoch, and returns how many keys it forgot.
func (c *cache) tidy(epoch uint32) (evicted int) {
	if last := c.tidied.Load(); last == epoch || !c.tidied.CompareAndSwap(last, epoch) {
		return 0
	}
	oldest := epoch - min(c.idle, epoch)
	for i := range uint32(tidyTables) {
		evicted += c.tidyTable(int((epoch*tidyTables+i)%numTables), oldest, epoch)
	}
	return evicted
}

func (c *cache) tidyTable(i int, oldest, epoch uint32) (evicted int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, live := &c.mu.tables[i], 0
	for i := range t.slots {
		if t.slots[i].live(oldest) {
			live++
		}
	}
	if live >= t.used-t.used/4 || live >= c.perTable { // Hardly worth it, or it would cost live ones.
		return 0
	}
	evicted = c.makeRoom(t, epoch)
	c.mu.keys -= evicted
	return evicted
}

// live reports whether the slot has a key that was used at oldest or later and whose series is there.
func (s *slot) live(oldest uint32) bool { return s.ref != 0 && s.ref != lostRef && s.used >= oldest }
