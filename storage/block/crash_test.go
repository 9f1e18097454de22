package block

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// crashScript builds, ingests and drops parts. Each step ends with a set of parts that must be
// there from then on, until the next step ends; before that, the sets of both may be.
type crashScript struct {
	models map[keys.Part]naive
	done   atomic.Int64
}

var (
	crashA, crashB, crashC = partAt(0, 1), partAt(1, 2), partAt(1, 3)
	crashSteps             = [][]keys.Part{
		nil,
		{crashA},
		{crashA, crashB, crashC},
		{crashB, crashC},
	}
)

func newCrashScript() *crashScript {
	c := &crashScript{models: map[keys.Part]naive{}}
	for i, p := range []keys.Part{crashA, crashB, crashC} {
		c.models[p] = fleet(uint64(i), 1, p.Start, 2)[:20]
	}
	return c
}

func (c *crashScript) run(t *testing.T, fs vfs.FS) {
	db := openStoreToClose(t, fs)
	c.done.Store(1)
	ingest(t, fs, db, Meta{Part: crashA, ShardBits: 2}, c.models[crashA])
	c.done.Store(2)
	tables, _ := build(t, fs, db, Meta{Part: crashB, ShardBits: 2}, c.models[crashB])
	more, _ := build(t, fs, db, Meta{Part: crashC}, c.models[crashC])
	require.NoError(t, db.Ingest(t.Context(), append(tables, more...)))
	c.done.Store(3)
	require.NoError(t, Drop(t.Context(), db, crashA))
	c.done.Store(4)
	require.NoError(t, db.Close())
}

// check opens what a crash in step done, counted from 1, has left.
func (c *crashScript) check(t *testing.T, fs vfs.FS, done int) {
	if done == 0 {
		return // The store itself is not made yet.
	}
	db := openStoreToClose(t, fs)
	require.NoError(t, DropOrphans(t.Context(), db))
	metas, err := List(db)
	require.NoError(t, err)
	var parts []keys.Part
	for _, m := range metas {
		parts = append(parts, m.Part)
	}
	if next := min(done, len(crashSteps)-1); len(parts) != len(crashSteps[next]) || done == len(crashSteps) {
		require.Equal(t, crashSteps[done-1], parts)
	} else {
		require.Equal(t, crashSteps[next], parts)
	}
	rows, err := partsOf(db, keys.Chunks)
	require.NoError(t, err)
	require.Equal(t, parts, rows)
	for _, m := range metas {
		p := Open(m, newTestCache(t))
		require.NoError(t, p.Verify(db))
		requireSelect(t, p, db, c.models[m.Part], series.Selector{Mint: t0, Maxt: t0 + 2*slot})
	}
	require.NoError(t, db.Close())
}

// TestCrash loses power before each operation on the disk that changes something, keeping all, none
// or some of what was not synced: each part is there as a whole or not at all, and one whose
// ingest or drop was answered is so for good.
func TestCrash(t *testing.T) {
	for at := 0; ; at++ {
		var (
			c       = newCrashScript()
			mem     = vfs.NewCrashableMem()
			mu      sync.Mutex // of what follows: Pebble works in the background, too
			ops     = 0
			crashed []*vfs.MemFS
			done    int
		)
		inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if ops == at {
				done = int(c.done.Load())
				rng := rand.New(rand.NewPCG(uint64(at), 0))
				for _, percent := range []int{0, 50, 100} {
					crashed = append(crashed, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
				}
			}
			ops++
			return nil
		})
		c.run(t, errorfs.Wrap(mem, inject))
		if len(crashed) == 0 {
			require.Greater(t, at, 60)
			return
		}
		for _, fs := range crashed {
			c.check(t, fs, done)
		}
	}
}

// TestDropOrphans: a drop that ended after its first half is finished.
func TestDropOrphans(t *testing.T) {
	fs := vfs.NewMem()
	db := openStore(t, fs)
	for n := range uint32(3) {
		ingest(t, fs, db, Meta{Part: partAt(0, n)}, fleet(1, 1, t0, 2))
	}
	start, end := keys.PartSpan(keys.Index, partAt(0, 1))
	require.NoError(t, db.Excise(t.Context(), pebble.KeyRange{Start: start, End: end}))
	for range 2 {
		metas, err := List(db)
		require.NoError(t, err)
		require.Len(t, metas, 2)
		require.NoError(t, DropOrphans(t.Context(), db))
		left, err := partsOf(db, keys.Chunks)
		require.NoError(t, err)
		require.Equal(t, []keys.Part{partAt(0, 0), partAt(0, 2)}, left)
	}
}

// TestDropFreesDisk: the files of a dropped part go, those of its neighbours stay.
func TestDropFreesDisk(t *testing.T) {
	fs := vfs.NewMem()
	opts := PebbleOptions(fs, 1<<20)
	deleted := make(chan string, 100)
	opts.EventListener.TableDeleted = func(i pebble.TableDeleteInfo) { deleted <- i.Path }
	require.NoError(t, fs.MkdirAll(buildDir, 0o755))
	db, err := pebble.Open(storeDir, opts)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var metas []Meta
	for n := range uint32(3) {
		metas = append(metas, ingest(t, fs, db, Meta{Part: partAt(int64(n), n)}, fleet(1, 2, t0+int64(n)*slot, 200)))
	}
	before := db.Metrics()
	require.EqualValues(t, 6, before.Levels[6].TablesCount)
	require.NoError(t, Drop(context.Background(), db, metas[1].Part))
	<-deleted
	<-deleted
	after := db.Metrics()
	require.EqualValues(t, 4, after.Levels[6].TablesCount)
	require.Equal(t, before.Levels[6].TablesSize-metas[1].Bytes, after.Levels[6].TablesSize)
	require.Zero(t, after.Compact.Count)
	n, err := DiskUsage(db, metas[1].Part)
	require.NoError(t, err)
	require.Zero(t, n)
	listed, err := List(db)
	require.NoError(t, err)
	require.Equal(t, []Meta{metas[0], metas[2]}, listed)
}
