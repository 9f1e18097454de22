package cache

import (
	"container/list"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Cache keeps entries.
type Cache struct {
	max     int64
	metrics *metrics
	mu      struct {
		sync.Mutex
		entries map[Key]*list.Element
		order   list.List // of *kept, the one used last in front
		bytes   int64
	}
}

type kept struct {
	key   Key
	entry *Entry
	bytes int64
}

// share is which part of the cache an entry may take at most.
const share = 8

// New returns a cache of so many bytes. reg may be nil.
func New(bytes int64, reg prometheus.Registerer) *Cache {
	c := &Cache{max: bytes}
	c.mu.entries = map[Key]*list.Element{}
	c.metrics = newMetrics(reg, c)
	return c
}

// Most is how many bytes an entry may take.
func (c *Cache) Most() int64 { return c.max / share }

// Get returns the entry of a key, nil if there is none.
func (c *Cache) Get(k Key) *Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.mu.entries[k]
	if e == nil {
		return nil
	}
	c.mu.order.MoveToFront(e)
	return e.Value.(*kept).entry
}

// Put keeps an entry in the place of what is kept under its key, unless it is too large.
func (c *Cache) Put(k Key, e *Entry) {
	bytes := e.bytes() + int64(len(k.Text))
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.mu.entries[k]; old != nil {
		c.dropLocked(old)
	}
	if bytes > c.Most() {
		c.metrics.evictions.Inc()
		return
	}
	c.mu.entries[k] = c.mu.order.PushFront(&kept{k, e, bytes})
	for c.mu.bytes += bytes; c.mu.bytes > c.max; {
		c.dropLocked(c.mu.order.Back())
		c.metrics.evictions.Inc()
	}
}

func (c *Cache) dropLocked(e *list.Element) {
	k := c.mu.order.Remove(e).(*kept)
	delete(c.mu.entries, k.key)
	c.mu.bytes -= k.bytes
}

func (c *Cache) size() (entries int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.entries), c.mu.bytes
}
