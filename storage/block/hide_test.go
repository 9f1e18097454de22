package block

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// requireLike asks a part and a model the same.
func requireLike(t *testing.T, r *rand.Rand, p *Part, db pebble.Reader, m naive) {
	t.Helper()
	for range 20 {
		requireSelect(t, p, db, m, randomSelector(r, p.meta.Part.Start))
		ms := randomMatchers(r)
		names, err := p.LabelNames(db, series.Selector{Matchers: ms})
		require.NoError(t, err)
		require.Equal(t, m.labelNames(ms), names, "%v", ms)
		name := modelNames[r.IntN(len(modelNames))]
		values, err := p.LabelValues(db, name, series.Selector{Matchers: ms})
		require.NoError(t, err)
		require.Equal(t, m.labelValues(name, ms), values, "%s %v", name, ms)
	}
	require.NoError(t, p.Verify(db))
}

func chunkRows(t *testing.T, db *pebble.DB, p keys.Part) (n int) {
	t.Helper()
	start, end := keys.PartSpan(keys.Chunks, p)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	require.NoError(t, err)
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	require.NoError(t, it.Close())
	return n
}

// What is hidden is not read, whatever is asked, and the rest is as it was: before and after the tables go
// that have nothing else.
func TestHideAndTrim(t *testing.T) {
	for seed := range uint64(8) {
		for _, large := range []int64{0, tableBytes} {
			t.Run(fmt.Sprint(seed, " ", large), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 3))
				fs := vfs.NewMem()
				db := openStore(t, fs)
				all, bits := randomModel(r, t0), uint8(1+r.IntN(6))
				b := NewBuilder(fs, buildDir, db, Meta{Part: partAt(0, 1), ShardBits: bits})
				b.tables.large = large
				for _, s := range all {
					require.NoError(t, b.Add(s))
				}
				paths, meta, err := b.Finish()
				require.NoError(t, err)
				require.NoError(t, db.Ingest(t.Context(), paths))
				p := Open(meta, newTestCache(t))
				requireLike(t, r, p, db, all)

				hidden := &series.ShardSet{Bits: bits}
				for s := range 1 << bits {
					if r.IntN(3) == 0 {
						hidden.Add(series.Shard(s))
					}
				}
				rest := slices.DeleteFunc(slices.Clone(all), func(s chunk.Series) bool { return hidden.Has(s.Fingerprint) })
				p.Hide(hidden)
				requireLike(t, r, p, db, rest)
				freed, left, err := p.Trim(t.Context(), db)
				require.NoError(t, err)
				require.Equal(t, meta.Bytes-freed, p.Meta().Bytes)
				switch {
				case len(rest) == len(all):
					require.Zero(t, freed+left)
				case large == 0:
					require.Positive(t, freed)
					require.Zero(t, left)
					require.Equal(t, len(rest), chunkRows(t, db, meta.Part))
				case len(rest) > 0:
					require.Zero(t, freed, "a table is not cut")
					require.Positive(t, left)
					require.Equal(t, len(all), chunkRows(t, db, meta.Part))
				}
				requireLike(t, r, p, db, rest)
				again, left2, err := p.Trim(t.Context(), db)
				require.NoError(t, err)
				require.Zero(t, again)
				require.Equal(t, left, left2)
			})
		}
	}
}
