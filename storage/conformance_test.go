package storage

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barograph-db/barograph/storage/storagetest"
)

// TestConformance holds the DB to the oracle. Where the suite flushes, a random one of the things
// that Run does by itself happens; where it opens the store again, power is lost half of the time.
func TestConformance(t *testing.T) {
	const seeds = 5
	disks := map[string]*disk{}
	storagetest.Run(t, func(t *testing.T, dir string) storagetest.Store {
		d := disks[dir]
		if d == nil {
			if !*thorough && len(disks) == seeds && strings.Contains(t.Name(), "random") {
				t.Skip("only with -thorough")
			}
			d = &disk{fs: vfs.NewCrashableMem(), r: rand.New(rand.NewPCG(uint64(len(disks)), 11))}
			disks[dir] = d
		}
		return d.open(t)
	})
}

// disk is what outlives a DB.
type disk struct {
	fs *vfs.MemFS
	r  *rand.Rand
}

func (d *disk) open(t *testing.T) *randomly {
	return &randomly{
		disk: d, forgets: strings.Contains(t.Name(), "random"),
		running: run(t, d.fs, Options{
			Retention: century, WALSegmentBytes: 16 << 10, CheckpointBytes: 64 << 10,
			Events: Events{Background: func(what string, err error) { t.Errorf("%s: %v", what, err) }},
		}),
	}
}

// randomly is a DB that does some maintenance where it is asked to flush.
type randomly struct {
	*disk
	*running
	forgets bool // Writers look references up anew.
}

func (db *randomly) Flush(ctx context.Context) error {
	if db.forgets && db.r.IntN(4) == 0 {
		db.head.GC() // As if all series had been quiet for long.
	}
	switch db.r.IntN(7) {
	case 0:
		return db.DB.Flush(ctx)
	case 1:
		return db.CleanTombstones(ctx)
	case 2, 3:
		return db.Seal(ctx)
	case 4:
		db.maintenance.Lock()
		defer db.maintenance.Unlock()
		return db.checkpointLocked()
	default:
		at := storagetest.Base + db.r.Int64N(16*time.Hour.Milliseconds())
		db.maintenance.Lock()
		defer db.maintenance.Unlock()
		return db.flushLocked(ctx, floor(at, testSlot))
	}
}

func (db *randomly) Close() error {
	crashed := db.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: db.r.IntN(101), RNG: db.r})
	power := db.r.IntN(2) == 0
	db.stop()
	if power {
		db.fs = crashed
	}
	return nil
}
