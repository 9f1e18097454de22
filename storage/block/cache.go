package block

import (
	"container/list"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/storage/keys"
)

// Cache holds decoded headers and symbols of parts, up to a number of bytes; what was not used for
// longest goes first. All parts of a store share one. It may be used concurrently.
type Cache struct {
	reg     prometheus.Registerer
	metrics *metrics

	mu struct {
		sync.Mutex
		limit   int64
		bytes   int64
		entries map[cacheKey]*list.Element // of *cacheEntry
		used    list.List                  // most recently used first
	}
}

type cacheKey struct {
	part    keys.Part
	section keys.Section
	block   uint32
}

type cacheEntry struct {
	key   cacheKey
	value cached
}

// cached is a decoded row. It is shared, hence never written to.
type cached interface {
	size() int64 // in memory
}

// entryOverhead is what the cache itself needs for an entry.
const entryOverhead = 160

// NewCache returns a cache of that many bytes.
func NewCache(bytes int64, reg prometheus.Registerer) *Cache {
	c := &Cache{reg: reg, metrics: newMetrics(reg)}
	c.mu.limit = bytes
	c.mu.entries = map[cacheKey]*list.Element{}
	return c
}

// Close gives up what is held and withdraws the metrics. The cache may still be used, by a select
// that has not ended yet.
func (c *Cache) Close() {
	c.mu.Lock()
	c.mu.limit = 0
	c.shrinkLocked()
	c.metrics.cacheBytes.Set(0)
	c.mu.Unlock()
	c.metrics.unregister(c.reg)
}

func (c *Cache) get(key cacheKey) cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.mu.entries[key]
	if e == nil {
		c.metrics.cacheMisses.Inc()
		return nil
	}
	c.metrics.cacheHits.Inc()
	c.mu.used.MoveToFront(e)
	return e.Value.(*cacheEntry).value
}

func (c *Cache) put(key cacheKey, v cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cost := v.size() + entryOverhead
	if c.mu.entries[key] != nil || cost > c.mu.limit {
		return // Two readers decoded it at once and are equal; or all else would have to go for it.
	}
	c.mu.entries[key] = c.mu.used.PushFront(&cacheEntry{key: key, value: v})
	c.mu.bytes += cost
	c.shrinkLocked()
	c.metrics.cacheBytes.Set(float64(c.mu.bytes))
}

func (c *Cache) shrinkLocked() {
	for c.mu.bytes > c.mu.limit {
		oldest := c.mu.used.Back()
		e := c.mu.used.Remove(oldest).(*cacheEntry)
		delete(c.mu.entries, e.key)
		c.mu.bytes -= e.value.size() + entryOverhead
		c.metrics.cacheEvicted.Inc()
	}
}
