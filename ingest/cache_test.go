package ingest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

func randomKey(rng *rand.Rand) Key { return Key{rng.Uint64(), rng.Uint64()} }

func put(c *cache, k Key, ref series.Ref, epoch uint32) int {
	return c.insert([]series.Ref{ref}, nil, []Run{{Key: k}}, []uint32{0}, epoch)
}

func get(c *cache, k Key, epoch uint32) series.Ref {
	refs := make([]series.Ref, 1)
	c.lookup(refs, nil, []Run{{Key: k}}, epoch)
	return refs[0]
}

// TestCacheAgainstMap compares with a map; an entry may be missing only if it could be evicted.
func TestCacheAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	c := newCache(1<<20, 10)
	want := map[Key]series.Ref{}
	for range 50_000 {
		k := randomKey(rng)
		k.Lo <<= 62 // Keys that differ in few bits.
		ref := series.Ref(rng.Uint64() | 1)
		want[Key{k.Hi, k.Lo}] = ref
		put(c, k, ref, 1)
	}
	for k, ref := range want {
		if k.Lo != 0 { // The low 32 bits are all that is kept of it, and they are zero.
			continue
		}
		require.Equal(t, ref, get(c, k, 1))
	}
	require.Zero(t, get(c, randomKey(rng), 1))
}

func TestCacheForgetsTheIdleAndKeepsItsBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	c := newCache(64*100, 5)
	var steady []Key
	for range 1000 {
		steady = append(steady, randomKey(rng))
		put(c, steady[len(steady)-1], 7, 0)
	}
	evicted := 0
	for epoch := uint32(1); epoch < 200; epoch++ { // Churn: each key is used once.
		for range 300 {
			evicted += put(c, randomKey(rng), 9, epoch)
		}
		for _, k := range steady {
			require.Equal(t, series.Ref(7), get(c, k, epoch))
		}
	}
	require.Positive(t, evicted)
	require.LessOrEqual(t, c.len(), 64*100)
	for i := range c.mu.tables {
		require.LessOrEqual(t, len(c.mu.tables[i].slots), 512)
	}
}

// Series that are written no more leave the cache, and their memory goes, though none come.
func TestCacheLetsGoOfWhatIsIdle(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	c := newCache(1<<20, 60)
	var steady []Key
	for i := range 50_000 {
		k := randomKey(rng)
		put(c, k, 7, 0)
		if i%10 == 0 {
			steady = append(steady, k)
		}
	}
	evicted := 0
	for epoch := uint32(1); epoch <= 60+numTables/tidyTables; epoch++ {
		for _, k := range steady {
			require.Equal(t, series.Ref(7), get(c, k, epoch))
		}
		evicted += c.tidy(epoch)
		require.Zero(t, c.tidy(epoch), "once is enough")
	}
	require.Equal(t, 45_000, evicted)
	require.Equal(t, len(steady), c.len())
	slots := 0
	for i := range c.mu.tables {
		slots += len(c.mu.tables[i].slots)
	}
	require.LessOrEqual(t, slots, 4*len(steady)+numTables*firstSlots)
}

func TestCacheAtItsBoundDropsTheLeastRecent(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	c := newCache(64*16, 1000)
	var last []Key
	for i := range 20_000 {
		k := randomKey(rng)
		put(c, k, series.Ref(i+1), uint32(i/100))
		last = append(last, k)
	}
	require.LessOrEqual(t, c.len(), 64*16)
	for i, k := range last[len(last)-100:] {
		require.Equal(t, series.Ref(len(last)-100+i+1), get(c, k, 200))
	}
}

func TestForgetSparesTheRenewed(t *testing.T) {
	c := newCache(1000, 10)
	k := Key{1, 2}
	put(c, k, 5, 0)
	runs, which := []Run{{Key: k}}, []uint32{0}
	put(c, k, 6, 0) // Another request was first.
	c.forget([]series.Ref{5}, runs, which)
	require.Equal(t, series.Ref(6), get(c, k, 0))
	c.forget([]series.Ref{6}, runs, which)
	require.Zero(t, get(c, k, 0))
	require.Equal(t, 1, c.len())
	put(c, k, 7, 0)
	require.Equal(t, series.Ref(7), get(c, k, 0))
	require.Equal(t, 1, c.len())
}

func TestStartsAreBounded(t *testing.T) {
	s := newStarts(10)
	for i := range series.Ref(100) {
		require.True(t, s.advance(i, 5))
		require.False(t, s.advance(i, 5))
		require.True(t, s.advance(i, 6))
		require.LessOrEqual(t, len(s.mu.newest), 10)
	}
}

// TestHashHalvesDoNotCollide hashes inputs that differ little; each half of the keys, and the first
// bits that choose the table, must do without collisions beyond chance.
func TestHashHalvesDoNotCollide(t *testing.T) {
	h := NewHasher()
	hi, lo := map[uint64]bool{}, map[uint64]bool{}
	tables := [numTables]int{}
	n := 0
	add := func(k Key) {
		hi[k.Hi], lo[k.Lo] = true, true
		tables[k.Hi>>(64-tableBits)]++
		n++
	}
	for i := range 50_000 {
		add(h.Sum(fmt.Appendf(nil, "__name__\x05metric_label%d", i)))
	}
	for size := range 80 { // Lengths and single bits.
		b := make([]byte, size)
		add(h.Sum(b))
		for bit := range size * 8 {
			b[bit/8] ^= 1 << (bit % 8)
			add(h.Sum(b))
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
	var word [8]byte
	for i := range 1000 { // Orders of two symbols.
		binary.LittleEndian.PutUint64(word[:], uint64(i))
		a := h.Sum(word[:])
		for j := range 100 {
			binary.LittleEndian.PutUint64(word[:], uint64(j)<<32)
			b := h.Sum(word[:])
			add(h.Mix(h.Start(), a, b))
		}
	}
	// The order of labels counts; i == 0 == j is one input, so is Sum of eight zeros.
	require.NotEqual(t, h.Mix(h.Start(), h.Sum([]byte("a")), h.Sum([]byte("b"))), h.Mix(h.Start(), h.Sum([]byte("b")), h.Sum([]byte("a"))))
	require.Equal(t, []int{n, n}, []int{len(hi), len(lo)})
	for _, c := range tables {
		require.InEpsilon(t, n/numTables, c, 0.2)
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, size := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("series=%d", size), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 1))
			c := newCache(8<<20, 10)
			runs := make([]Run, size)
			which := make([]uint32, size)
			refs := make([]series.Ref, size)
			for i := range runs {
				runs[i].Key, which[i], refs[i] = randomKey(rng), uint32(i), series.Ref(i+1)
			}
			c.insert(refs, nil, runs, which, 1)
			rng.Shuffle(size, func(i, j int) { runs[i], runs[j] = runs[j], runs[i] })
			const per = 2000
			at := 0
			loop(b, per, "series", func() {
				if c.lookup(refs[:per], nil, runs[at:at+per], 1) != 0 {
					b.Fatal("missing")
				}
				if at += per; at+per > size {
					at = 0
				}
			})
		})
	}
}

func BenchmarkSum(b *testing.B) {
	h := NewHasher()
	buf := make([]byte, 1<<16)
	for _, n := range []int{12, 100, 140} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			at := 0
			loop(b, 1, "key", func() {
				h.Sum(buf[at : at+n])
				at = (at + n + 3) % (1 << 15)
			})
		})
	}
}
