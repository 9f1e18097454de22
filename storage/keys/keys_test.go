package keys

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

func randomPart(r *rand.Rand) Part {
	p := Part{Tier: Tier(r.UintN(3)), Seq: r.Uint32N(3)}
	p.Start = int64(int32(r.Uint32())) * minuteMillis
	if r.IntN(2) == 0 {
		p.Start = (r.Int64N(7) - 3) * 2 * 60 * minuteMillis
	}
	if r.IntN(4) == 0 {
		p.Seq = math.MaxUint32 - r.Uint32N(2)
	}
	return p
}

func TestPartString(t *testing.T) {
	require.Equal(t, "raw/2023-11-14T22:13Z/7", Part{Start: 1_699_999_980_000, Seq: 7}.String())
	require.Equal(t, "5m", M5.String())
	require.Equal(t, "1h", H1.String())
	require.Equal(t, "tier9", Tier(9).String())
}

func TestPartValidate(t *testing.T) {
	require.NoError(t, Part{Start: -2 * minuteMillis}.Validate())
	require.Error(t, Part{Start: 1}.Validate())
	require.Error(t, Part{Start: (math.MaxInt32 + 1) * minuteMillis}.Validate())
	require.Panics(t, func() { AppendPart(nil, Chunks, Part{Start: 1}) })
}

// TestGolden holds the bytes of every kind of key: they are on disk.
func TestGolden(t *testing.T) {
	p := Part{Tier: M5, Start: 0x01020304 * minuteMillis, Seq: 0x0a0b0c0d}
	for _, c := range []struct{ got, want string }{
		{string(AppendPart(nil, Index, p)), "i\x01\x81\x02\x03\x04\x0a\x0b\x0c\x0d"},
		{string(AppendChunk(nil, p, 0x1122, 0x33445566)), "c\x01\x81\x02\x03\x04\x0a\x0b\x0c\x0d\x11\x22\x33\x44\x55\x66"},
		{string(AppendHeader(nil, p)), "i\x01\x81\x02\x03\x04\x0a\x0b\x0c\x0d\x00"},
		{string(AppendPosting(nil, p, "a\x00b", "v\x00")), "i\x01\x81\x02\x03\x04\x0a\x0b\x0c\x0d\x03a\x00\xffb\x00\x01v\x00"},
		{string(Format()), "mformat"},
		{string(Tombstone(258)), "mtombstone/\x00\x00\x00\x00\x00\x00\x01\x02"},
	} {
		require.Equal(t, []byte(c.want), []byte(c.got))
	}
}

func TestPartOrderAndSpan(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		a, b := randomPart(r), randomPart(r)
		ka, kb := AppendPart(nil, Chunks, a), AppendPart(nil, Chunks, b)
		require.Equal(t, Compare(a, b), bytes.Compare(ka, kb), "%v %v", a, b)

		class, got, rest, err := ParsePart(ka)
		require.NoError(t, err)
		require.Equal(t, Chunks, class)
		require.Equal(t, a, got)
		require.Empty(t, rest)

		start, end := PartSpan(Chunks, a)
		inside := bytes.Compare(start, kb) <= 0 && bytes.Compare(kb, end) < 0
		require.Equal(t, a == b, inside)
		last := AppendChunk(nil, a, math.MaxUint16, math.MaxUint32)
		require.Negative(t, bytes.Compare(last, end))

		classStart, classEnd := ClassSpan(Chunks)
		require.Positive(t, bytes.Compare(ka, classStart))
		require.Negative(t, bytes.Compare(last, classEnd))
	}
}

func TestChunkOrder(t *testing.T) {
	type row struct {
		part    Part
		shard   series.Shard
		ordinal uint32
	}
	compare := func(a, b row) int {
		return cmp.Or(Compare(a.part, b.part), cmp.Compare(a.shard, b.shard), cmp.Compare(a.ordinal, b.ordinal))
	}
	r := rand.New(rand.NewPCG(2, 2))
	rows := make([]row, 5_000)
	for i := range rows {
		rows[i] = row{randomPart(r), series.Shard(r.Uint32N(300)), r.Uint32() >> r.UintN(32)}
	}
	slices.SortFunc(rows, compare)
	var last []byte
	for _, want := range rows {
		key := AppendChunk(nil, want.part, want.shard, want.ordinal)
		require.LessOrEqual(t, bytes.Compare(last, key), 0)
		last = key
		part, shard, ordinal, err := ParseChunk(key)
		require.NoError(t, err)
		require.Equal(t, want, row{part, shard, ordinal})

		other := AppendChunk(nil, want.part, 0, 0)
		SetChunk(other, want.shard, want.ordinal)
		require.Equal(t, key, other)
	}
}

func TestPostingOrder(t *testing.T) {
	texts := []string{"a", "a\x00", "a\x00\x00", "a\x00\x01", "a\x00\xff", "a\x01", "ab", "b", "\x00", "\xff", "\xff\xff"}
	type pair struct{ name, value string }
	var pairs []pair
	for _, n := range texts {
		for _, v := range texts {
			pairs = append(pairs, pair{n, v})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
	})
	p := Part{Start: 60 * minuteMillis}
	var last []byte
	for _, want := range pairs {
		key := AppendPosting(nil, p, want.name, want.value)
		require.Negative(t, bytes.Compare(last, key), "%q", want)
		last = key
		k, err := ParseIndex(key)
		require.NoError(t, err)
		require.Equal(t, want, pair{string(k.Name), string(k.Value)})
		for _, name := range texts {
			start, end := PostingsSpan(p, name)
			inside := bytes.Compare(start, key) <= 0 && bytes.Compare(key, end) < 0
			require.Equal(t, name == want.name, inside)
		}
		start, end := SectionSpan(p, Postings)
		require.True(t, bytes.Compare(start, key) <= 0 && bytes.Compare(key, end) < 0)
	}
}

func TestIndexSections(t *testing.T) {
	p := Part{Tier: H1, Start: -minuteMillis, Seq: math.MaxUint32}
	ordered := [][]byte{
		AppendHeader(nil, p),
		AppendBlock(nil, p, Symbols, 0), AppendBlock(nil, p, Symbols, math.MaxUint32),
		AppendBlock(nil, p, Labels, 1), AppendBlock(nil, p, Labels, 256),
		AppendPosting(nil, p, "", ""), AppendPosting(nil, p, "\xff", "\xff"), AppendBlock(nil, p, Times, 0),
	}
	require.True(t, slices.IsSortedFunc(ordered, bytes.Compare))
	_, end := PartSpan(Index, p)
	require.Negative(t, bytes.Compare(ordered[len(ordered)-1], end))

	other := AppendBlock(nil, p, Symbols, 0)
	SetBlock(other, math.MaxUint32)
	require.Equal(t, ordered[2], other)
	k, err := ParseIndex(ordered[2])
	require.NoError(t, err)
	require.Equal(t, IndexKey{Part: p, Section: Symbols, Block: math.MaxUint32}, k)
}

func TestParseRefuses(t *testing.T) {
	part := string(AppendPart(nil, Index, Part{}))
	for _, key := range []string{
		"", "i", "x123456789", part, part + "\x09", part + "\x00x", part + "\x01abc", part + "\x01abcde",
		part + "\x03", part + "\x03name", part + "\x03name\x00", part + "\x03name\x00\x02",
		string(AppendChunk(nil, Part{}, 1, 2)),
	} {
		_, err := ParseIndex([]byte(key))
		require.ErrorIs(t, err, errKey, "%q", key)
	}
	for _, key := range []string{"", part, "c12345678901234", "c1234567890123456"} {
		_, _, _, err := ParseChunk([]byte(key))
		require.ErrorIs(t, err, errKey, "%q", key)
	}
	for _, key := range []string{"", "mformat", "mtombstone/1234567", "ctombstone/12345678"} {
		_, err := ParseTombstone([]byte(key))
		require.ErrorIs(t, err, errKey, "%q", key)
	}
}

func TestTombstoneBounds(t *testing.T) {
	lower, upper := TombstoneBounds()
	var last []byte
	for _, seq := range []uint64{0, 1, 255, 256, math.MaxUint64} {
		key := Tombstone(seq)
		require.Negative(t, bytes.Compare(last, key))
		require.True(t, bytes.Compare(lower, key) <= 0 && bytes.Compare(key, upper) < 0)
		got, err := ParseTombstone(key)
		require.NoError(t, err)
		require.Equal(t, seq, got)
		last = key
	}
	require.False(t, bytes.Compare(lower, Format()) <= 0 && bytes.Compare(Format(), upper) < 0)
}

// FuzzParse feeds arbitrary bytes to the decoders: what they accept must encode to the same bytes.
func FuzzParse(f *testing.F) {
	p := Part{Tier: M5, Start: 1000 * minuteMillis, Seq: 3}
	f.Add(AppendChunk(nil, p, 3, 4))
	f.Add(AppendHeader(nil, p))
	f.Add(AppendBlock(nil, p, Symbols, 4))
	f.Add(AppendBlock(nil, p, Times, 4))
	f.Add(AppendPosting(nil, p, "na\x00me", "value"))
	f.Add(Tombstone(9))
	f.Fuzz(func(t *testing.T, key []byte) {
		if p, shard, ordinal, err := ParseChunk(key); err == nil {
			require.Equal(t, key, AppendChunk(nil, p, shard, ordinal))
		}
		if seq, err := ParseTombstone(key); err == nil {
			require.Equal(t, key, Tombstone(seq))
		}
		k, err := ParseIndex(key)
		if err != nil {
			return
		}
		switch k.Section {
		case Header:
			require.Equal(t, key, AppendHeader(nil, k.Part))
		case Postings:
			require.Equal(t, key, AppendPosting(nil, k.Part, k.Name, k.Value))
		default:
			require.Equal(t, key, AppendBlock(nil, k.Part, k.Section, k.Block))
		}
	})
}

func BenchmarkSetChunk(b *testing.B) {
	key := AppendChunk(nil, Part{}, 0, 0)
	var n uint32
	for b.Loop() {
		SetChunk(key, series.Shard(n>>16), n)
		n++
	}
}
