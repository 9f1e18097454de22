package block

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

func testHeader() *header {
	return &header{
		Meta: Meta{
			Part: keys.Part{Tier: keys.H1, Start: -60_000, Seq: math.MaxUint32}, ShardBits: 8, MinT: -5, MaxT: 77, Series: 9,
			Samples: 1 << 40, ChunkBytes: 3, FlushedBefore: math.MaxInt64, FlushedSegment: math.MaxUint64,
		},
		symbols: 1000, labels: 1 << 33, times: 77,
		shards: []series.Shard{0, 7, 255}, starts: []uint32{0, 1, 5, 9},
	}
}

// replacingHeader is that of a part which replaces others.
func replacingHeader() *header {
	h := testHeader()
	h.Replaces = []keys.Part{
		{Tier: keys.H1, Start: -120_000, Seq: 7}, {Tier: keys.H1, Start: -60_000, Seq: 3}, {Tier: keys.H1, Start: -60_000, Seq: 9},
	}
	return h
}

func TestHeaderRoundTrip(t *testing.T) {
	for _, h := range []*header{testHeader(), replacingHeader()} {
		b := h.encode(nil)
		got, err := decodeHeader(b)
		require.NoError(t, err)
		require.Equal(t, h, got)

		for i := range b {
			damaged := bytes.Clone(b)
			damaged[i] ^= 0x10
			_, err := decodeHeader(damaged)
			require.ErrorIs(t, err, errDecode)
			_, err = decodeHeader(b[:i])
			require.ErrorIs(t, err, errDecode)
		}
		_, err = decodeHeader(append(b, 0))
		require.ErrorIs(t, err, errDecode)
	}
}

// TestGoldenReplacingHeader: the header of a part that replaces others is, byte for byte, what it was.
func TestGoldenReplacingHeader(t *testing.T) {
	golden(t, "header.txt", hex.Dump(replacingHeader().encode(nil)))
}

func TestHeaderRefusesReplaces(t *testing.T) {
	self := testHeader().Part
	for name, replaces := range map[string][]keys.Part{
		"itself":    {self},
		"twice":     {{Tier: keys.H1, Seq: 3}, {Tier: keys.H1, Seq: 3}},
		"unordered": {{Tier: keys.H1, Seq: 3}, {Tier: keys.H1, Seq: 2}},
		"bad start": {{Tier: keys.H1, Start: 1}},
		"too many":  make([]keys.Part, MaxReplaces+1),
	} {
		t.Run(name, func(t *testing.T) {
			h := testHeader()
			h.Replaces = replaces
			_, err := decodeHeader(h.encode(nil))
			require.ErrorIs(t, err, errDecode)
		})
	}
}

func TestHeaderShards(t *testing.T) {
	h := testHeader()
	for ordinal, shard := range []int{0, 1, 1, 1, 1, 2, 2, 2, 2} {
		require.Equal(t, shard, h.shardAt(uint32(ordinal)))
	}
	for bits := range uint8(maxShardBits + 1) {
		r := rand.New(rand.NewPCG(uint64(bits), 0))
		set := &series.ShardSet{Bits: bits}
		for range 1 + r.IntN(5) {
			set.Add(series.Shard(r.IntN(1 << bits)))
		}
		got := h.within(set)
		for i, shard := range h.shards {
			// Some fingerprint of the shard is in the set: try all steps of the finer of the two.
			want := false
			for step := range 1 << maxShardBits {
				f := series.Fingerprint(step) << (64 - maxShardBits)
				want = want || f.Shard(h.ShardBits) == shard && set.Has(f)
			}
			for ordinal := h.starts[i]; ordinal < h.starts[i+1]; ordinal++ {
				require.Equal(t, want, got.Contains(ordinal), "bits %d shard %d", bits, shard)
			}
		}
	}
}

func TestSymbolsRoundTrip(t *testing.T) {
	var b []byte
	want := []string{"", "a", "instance", string(bytes.Repeat([]byte("x"), 300))}
	for _, s := range want {
		b = appendSymbol(b, s)
	}
	block, err := decodeSymbols(b)
	require.NoError(t, err)
	for i, s := range want {
		got, ok := block.at(uint32(i))
		require.True(t, ok)
		require.Equal(t, string(appendSymbol(nil, s)), got)
	}
	_, ok := block.at(uint32(len(want)))
	require.False(t, ok)
	_, err = decodeSymbols(b[:len(b)-1])
	require.ErrorIs(t, err, errDecode)
	_, err = decodeSymbols(make([]byte, symbolsPerBlock+1))
	require.ErrorIs(t, err, errDecode)
}

type row struct{ names, values []uint32 }

func randomRows(r *rand.Rand) []row {
	shapes := make([][]uint32, 1+r.IntN(4))
	for i := range shapes {
		shapes[i] = make([]uint32, r.IntN(20))
		for j := range shapes[i] {
			shapes[i][j] = r.Uint32() >> r.UintN(32)
		}
	}
	rows := make([]row, 1+r.IntN(rowsPerBlock))
	for i := range rows {
		rows[i].names = shapes[r.IntN(len(shapes))]
		rows[i].values = make([]uint32, len(rows[i].names))
		for j := range rows[i].values {
			rows[i].values[j] = r.Uint32N(3) * 1000
		}
	}
	return rows
}

func TestRowsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var (
		enc rowEncoder
		dec rowDecoder
	)
	for range 500 {
		rows := randomRows(r)
		enc.reset()
		for _, row := range rows {
			enc.add(row.names, row.values)
		}
		dec.reset(enc.buf)
		marked := -1
		for i, want := range rows {
			require.NoError(t, dec.next())
			require.True(t, slices.Equal(want.names, dec.names()))
			require.True(t, slices.Equal(want.values, dec.values))
			if marked >= 0 {
				for j := range dec.same {
					for _, between := range rows[marked : i+1] {
						require.Equal(t, between.names[j], want.names[j])
						require.Equal(t, between.values[j], want.values[j])
					}
				}
			}
			if r.IntN(2) == 0 {
				dec.mark()
				marked = i
			}
		}
		require.Error(t, dec.next())
	}
}

func TestPostingsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		want := roaring.New()
		for range 1 + r.IntN(3) {
			from := uint64(r.Uint32N(300_000))
			want.AddRange(from, from+uint64(1+r.IntN(100_000)>>r.IntN(17)))
			for range r.IntN(100) {
				want.Add(r.Uint32N(400_000))
			}
		}
		want.RunOptimize()
		var buf bytes.Buffer
		require.NoError(t, appendPostings(&buf, want))
		got, err := decodePostings(bytes.Clone(buf.Bytes()), want.Maximum()+1)
		require.NoError(t, err)
		require.True(t, want.Equals(got))
		_, err = decodePostings(bytes.Clone(buf.Bytes()), want.Maximum())
		require.ErrorIs(t, err, errDecode)
		_, err = decodePostings(append(bytes.Clone(buf.Bytes()), 0), want.Maximum()+1)
		require.ErrorIs(t, err, errDecode)
	}
}

// TestCollectorPostings holds the postings made of runs against plain ones.
func TestCollectorPostings(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	c := newCollector()
	want := map[[2]string]*roaring.Bitmap{}
	var all []series.Labels
	for ordinal := range uint32(5_000) {
		ls := series.FromStrings("a", string(rune('a'+ordinal/100%20)), "b", string(rune('a'+r.IntN(20))))
		if r.IntN(3) == 0 {
			ls = series.FromStrings("0", "x", "a", "z")
		}
		all = append(all, ls)
		require.NoError(t, c.add(ls))
		for name, value := range ls.All() {
			key := [2]string{string(name), string(value)}
			if want[key] == nil {
				want[key] = roaring.New()
			}
			want[key].Add(ordinal)
		}
	}
	symbols, pairs := c.rank()
	require.True(t, slices.IsSorted(symbols))
	require.Len(t, pairs, len(want))
	got := roaring.New()
	var (
		scratch []uint32
		last    [2]string
	)
	for _, p := range pairs {
		scratch = c.postings(got, p, scratch)
		key := [2]string{symbols[c.numbers[p.name]], symbols[c.numbers[p.value]]}
		require.True(t, want[key].Equals(got), "%v", key)
		require.Negative(t, slices.Compare(last[:], key[:]))
		last = key
	}
	c.cutRows()
	rows := slices.Concat(c.rows...)
	for _, ls := range all {
		var names, values []uint32
		names, values, rows = c.takeRow(rows)
		i := 0
		for name, value := range ls.All() {
			require.Equal(t, string(name), symbols[names[i]])
			require.Equal(t, string(value), symbols[values[i]])
			i++
		}
	}
	require.Empty(t, rows)
}

// fixChecksum makes the checksum of a damaged header right.
func fixChecksum(b []byte) {
	binary.LittleEndian.PutUint32(b[1:], crc32.Checksum(b[5:], castagnoli))
}

func FuzzHeader(f *testing.F) {
	f.Add(testHeader().encode(nil))
	f.Add(replacingHeader().encode(nil))
	f.Add((&header{starts: []uint32{0}}).encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 5 { // Let what is behind the checksum be reached.
			b = bytes.Clone(b)
			fixChecksum(b)
		}
		h, err := decodeHeader(b)
		if err != nil {
			require.ErrorIs(t, err, errDecode)
			return
		}
		again, err := decodeHeader(h.encode(nil))
		require.NoError(t, err)
		require.Equal(t, h, again)
	})
}

func FuzzSymbols(f *testing.F) {
	f.Add(appendSymbol(appendSymbol(nil, "job"), "node"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSymbols(b)
		if err != nil {
			require.ErrorIs(t, err, errDecode)
			return
		}
		total := 0
		for i := range s.ends {
			text, ok := s.at(uint32(i))
			require.True(t, ok)
			total += len(text)
		}
		require.Equal(t, len(b), total)
	})
}

func FuzzRows(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 4 {
		var enc rowEncoder
		enc.reset()
		for _, row := range randomRows(r) {
			enc.add(row.names, row.values)
		}
		f.Add(enc.buf)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var dec rowDecoder
		for range 2 { // The second time on used buffers.
			dec.reset(b)
			for range rowsPerBlock {
				if err := dec.next(); err != nil {
					require.ErrorIs(t, err, errDecode)
					break
				}
				require.Len(t, dec.values, len(dec.names()))
				require.LessOrEqual(t, len(dec.values), len(b))
				dec.mark()
			}
		}
	})
}

func FuzzPostings(f *testing.F) {
	for _, b := range []*roaring.Bitmap{roaring.BitmapOf(1), roaring.BitmapOf(1, 2, 3, 4, 5, 100_000)} {
		var buf bytes.Buffer
		b.RunOptimize()
		require.NoError(f, appendPostings(&buf, b))
		f.Add(buf.Bytes())
	}
	dense := roaring.New()
	for i := range uint32(6_000) {
		dense.Add(2 * i)
	}
	var buf bytes.Buffer
	require.NoError(f, appendPostings(&buf, dense))
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		const count = 1 << 20
		bm, err := decodePostings(bytes.Clone(b), count)
		if err != nil {
			require.ErrorIs(t, err, errDecode)
			return
		}
		require.NoError(t, bm.Validate())
		ordinals := bm.ToArray()
		require.True(t, slices.IsSorted(ordinals))
		require.Less(t, ordinals[len(ordinals)-1], uint32(count))
		require.Equal(t, bm.GetCardinality(), uint64(len(ordinals)))
		all := roaring.New()
		all.AddRange(0, count)
		all.And(bm)
		require.True(t, all.Equals(bm))
	})
}
