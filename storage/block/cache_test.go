package block

import (
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

type sized int64

func (s sized) size() int64 { return int64(s) }

func TestCacheBound(t *testing.T) {
	c := NewCache(1000+10*entryOverhead, prometheus.NewPedanticRegistry())
	key := func(n int) cacheKey { return cacheKey{block: uint32(n)} }
	for n := range 10 {
		c.put(key(n), sized(100))
	}
	require.NotNil(t, c.get(key(0))) // Used last from now on.
	c.put(key(10), sized(100))
	require.Nil(t, c.get(key(1)))
	require.NotNil(t, c.get(key(0)))
	c.put(key(10), sized(500)) // There already.
	require.Equal(t, sized(100), c.get(key(10)))
	require.EqualValues(t, 1000+10*entryOverhead, testutil.ToFloat64(c.metrics.cacheBytes))
	require.EqualValues(t, 1, testutil.ToFloat64(c.metrics.cacheEvicted))

	c.put(key(11), sized(1<<20)) // Larger than the cache: nothing goes for it.
	require.Nil(t, c.get(key(11)))
	require.NotNil(t, c.get(key(10)))
	c.Close()
	require.Zero(t, testutil.ToFloat64(c.metrics.cacheBytes))
	c.put(key(12), sized(1))
	require.Nil(t, c.get(key(12)))
}

// TestConcurrentSelects share a cache that is too small for them.
func TestConcurrentSelects(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	cache := NewCache(8<<10, nil)
	defer cache.Close()
	var group sync.WaitGroup
	for n := range int64(2) {
		m := naive(fleet(uint64(n), 2, t0, 20))
		p := Open(ingest(t, fs, db, Meta{Part: partAt(0, uint32(n)), ShardBits: 3}, m), cache)
		for g := range 2 {
			group.Go(func() {
				for i := range 5 {
					sel := everything
					sel.SkipChunks = (i+g)%2 == 0
					got, err := p.Select(db, sel)
					if err != nil || len(got) != len(m) {
						t.Error(len(got), err)
					}
					values, err := p.LabelValues(db, "instance", series.Selector{})
					if err != nil || fmt.Sprint(values) != "[10.0.0.0:9100 10.0.0.1:9100]" {
						t.Error(values, err)
					}
				}
			})
		}
	}
	group.Wait()
	require.Positive(t, testutil.ToFloat64(cache.metrics.cacheEvicted))
}
