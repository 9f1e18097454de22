package ingest

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/barograph-db/barograph/storage/series"
)

// The cache maps keys to references by open addressing. A slot of 16 bytes keeps 96 bits of the
// key and the number of an entry; entries lie in pages that never move. The slots are split by the
// key's first bits into tables, so that one grows, or forgets what was long unused, without the
// others: a few thousand slots are moved under the lock, not all of them.
const (
	tableBits  = 6
	numTables  = 1 << tableBits
	firstSlots = 16
	pageBits   = 12
	pageSize   = 1 << pageBits
	maxEntries = 1 << 30
)

type slot struct {
	hi    uint64
	lo    uint32
	entry uint32 // 0: the slot is free
}

// An entry with ref zero is dead: its reference was lost, and the key is to be looked up anew.
type entry struct {
	ref   series.Ref
	start atomic.Int64  // the newest start timestamp a zero was written for
	used  atomic.Uint32 // the epoch of its last use
}

type table struct {
	slots []slot // a power of two
	used  int
}

type cache struct {
	perTable int    // the most entries of one table
	idle     uint32 // epochs

	mu struct {
		sync.RWMutex
		tables [numTables]table
		pages  []*[pageSize]entry
		free   []uint32 // entries given back
		next   uint32   // the first entry never given out
	}
}

func newCache(capacity int, idle uint32) *cache {
	c := &cache{perTable: max(capacity/numTables, 1), idle: idle}
	for i := range c.mu.tables {
		c.mu.tables[i].slots = make([]slot, firstSlots)
	}
	c.mu.next = 1
	return c
}

// lookup sets entries[i] and refs[i] for each run, zero where there is none, and returns how many
// are zero. Two loops: in each, every iteration waits for memory on its own.
func (c *cache) lookup(entries []uint32, refs []series.Ref, runs []Run, epoch uint32) (missing int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	tables := &c.mu.tables
	entries, refs = entries[:len(runs)], refs[:len(runs)]
	for i := range runs {
		k := runs[i].Key
		slots := tables[k.Hi>>(64-tableBits)].slots
		mask := uint64(len(slots) - 1)
		for p := k.Hi & mask; ; p = (p + 1) & mask {
			s := &slots[p&uint64(len(slots)-1)]
			if s.hi == k.Hi && s.lo == uint32(k.Lo) || s.entry == 0 {
				entries[i] = s.entry
				break
			}
		}
	}
	pages := c.mu.pages
	for i, n := range entries {
		if n == 0 {
			refs[i] = 0
			missing++
			continue
		}
		e := &pages[n>>pageBits][n%pageSize]
		refs[i] = e.ref
		if e.ref == 0 {
			missing++
		}
		if e.used.Load() != epoch {
			e.used.Store(epoch)
		}
	}
	return missing
}

// insert remembers the references of runs, whose numbers are given, and sets their entries.
// It returns how many entries were forgotten to make room.
func (c *cache) insert(entries []uint32, refs []series.Ref, runs []Run, which []uint32, epoch uint32) (evicted int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range which {
		n, gone := c.putLocked(runs[i].Key, epoch)
		evicted += gone
		e := c.entryLocked(n)
		e.ref = refs[i]
		e.used.Store(epoch)
		entries[i] = n
	}
	return evicted
}

// forget marks the entries of runs as dead, unless another request has renewed them since.
func (c *cache) forget(entries []uint32, refs []series.Ref, which []uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range which {
		if n := entries[i]; n != 0 {
			if e := c.entryLocked(n); e.ref == refs[i] {
				e.ref = 0
				e.start.Store(0)
			}
		}
	}
}

// advance reports whether start is newer than the last one seen of the entry, and remembers it.
// The entry may have been given to another series since it was looked up.
func (c *cache) advance(n uint32, ref series.Ref, start int64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.entryLocked(n)
	for e.ref == ref {
		old := e.start.Load()
		if start <= old {
			return false
		}
		if e.start.CompareAndSwap(old, start) {
			return true
		}
	}
	return false
}

func (c *cache) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return int(c.mu.next) - 1 - len(c.mu.free)
}

func (c *cache) entryLocked(n uint32) *entry { return &c.mu.pages[n>>pageBits][n%pageSize] }

// putLocked finds or makes the entry of k.
func (c *cache) putLocked(k Key, epoch uint32) (n uint32, evicted int) {
	t := &c.mu.tables[k.Hi>>(64-tableBits)]
	p := t.find(k)
	if n := t.slots[p].entry; n != 0 {
		return n, 0
	}
	if t.used+1 > len(t.slots)/4*3 || t.used >= c.perTable {
		evicted = c.makeRoomLocked(t, epoch)
		p = t.find(k)
	}
	n = c.newEntryLocked()
	t.slots[p] = slot{hi: k.Hi, lo: uint32(k.Lo), entry: n}
	t.used++
	return n, evicted
}

// find returns the slot that holds k, or the free one where it belongs.
func (t *table) find(k Key) uint64 {
	mask := uint64(len(t.slots) - 1)
	p := k.Hi & mask
	for t.slots[p].entry != 0 && (t.slots[p].hi != k.Hi || t.slots[p].lo != uint32(k.Lo)) {
		p = (p + 1) & mask
	}
	return p
}

func (c *cache) newEntryLocked() uint32 {
	if n := len(c.mu.free); n > 0 {
		e := c.mu.free[n-1]
		c.mu.free = c.mu.free[:n-1]
		return e
	}
	n := c.mu.next
	c.mu.next++
	if int(n>>pageBits) == len(c.mu.pages) {
		c.mu.pages = append(c.mu.pages, new([pageSize]entry))
	}
	return n
}

// makeRoomLocked rebuilds t: without the entries that were idle for long, without the least
// recently used quarter if it stands at its bound all the same, and larger when it needs to be.
func (c *cache) makeRoomLocked(t *table, epoch uint32) (evicted int) {
	oldest := epoch - min(c.idle, epoch)
	live := t.slots[:0:0]
	ages := make([]uint32, 0, t.used)
	for _, s := range t.slots {
		if s.entry == 0 {
			continue
		}
		if e := c.entryLocked(s.entry); e.ref == 0 || e.used.Load() < oldest {
			evicted += c.dropLocked(s.entry)
			continue
		}
		live = append(live, s)
		ages = append(ages, c.entryLocked(s.entry).used.Load())
	}
	if len(live) >= c.perTable {
		slices.Sort(ages)
		cut, most := ages[len(ages)/4], len(ages)/4+1
		live = slices.DeleteFunc(live, func(s slot) bool {
			if most == 0 || c.entryLocked(s.entry).used.Load() > cut {
				return false
			}
			most--
			evicted += c.dropLocked(s.entry)
			return true
		})
	}
	// At most half full, at least a quarter.
	size := max(firstSlots, 1<<bits.Len(uint(len(live)*2)))
	*t = table{slots: make([]slot, size), used: len(live)}
	for _, s := range live {
		t.slots[t.find(Key{Hi: s.hi, Lo: uint64(s.lo)})] = s
	}
	return evicted
}

func (c *cache) dropLocked(n uint32) int {
	e := c.entryLocked(n)
	e.ref = 0
	e.start.Store(0)
	c.mu.free = append(c.mu.free, n)
	return 1
}
