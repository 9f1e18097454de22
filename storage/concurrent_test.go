package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Writers, readers and all kinds of maintenance go side by side. A reader must see every sample
// that was acknowledged before it began, at every moment, each time once.
func TestEverythingAtOnce(t *testing.T) {
	const (
		writers = 3
		rounds  = 60
		step    = testSlot / 20
	)
	db := run(t, vfs.NewMem(), Options{
		Retention: century, WALSegmentBytes: 8 << 10, CheckpointBytes: 16 << 10,
		Events: Events{Background: func(what string, err error) { t.Errorf("%s: %v", what, err) }},
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var others errgroup.Group
	until := func(f func(r *rand.Rand) error) {
		others.Go(func() error {
			for r := rand.New(rand.NewPCG(7, 7)); ctx.Err() == nil; {
				if err := f(r); err != nil {
					cancel()
					return err
				}
			}
			return nil
		})
	}
	until(func(r *rand.Rand) error {
		db.Maintain(ctx, time.UnixMilli(longAgo+r.Int64N(rounds)*step))
		return nil
	})
	until(func(r *rand.Rand) error {
		switch r.IntN(3) {
		case 0:
			return passing(ctx, db.Flush(ctx))
		case 1:
			return passing(ctx, db.Seal(ctx))
		}
		db.maintenance.Lock()
		defer db.maintenance.Unlock()
		return db.checkpointLocked()
	})
	until(func(r *rand.Rand) error { // Series that the writers' checks do not look at.
		if err := appendTo(ctx, db.DB, "victim", longAgo+r.Int64N(rounds)*step, 1); err != nil {
			return passing(ctx, err)
		}
		if err := db.Delete(ctx, math.MinInt64, math.MaxInt64, equal("__name__", "victim")); err != nil {
			return passing(ctx, err)
		}
		return passing(ctx, db.CleanTombstones(ctx))
	})
	until(func(*rand.Rand) error {
		_, err := db.LabelValues(ctx, "__name__", series.Selector{Mint: longAgo, Maxt: math.MaxInt64})
		_ = db.Stats(3)
		return passing(ctx, err)
	})

	var work errgroup.Group
	for w := range writers {
		work.Go(func() error {
			err := writeAndCheck(ctx, db.DB, fmt.Sprint("w", w), rounds, step)
			if err != nil {
				cancel()
			}
			return err
		})
	}
	require.NoError(t, work.Wait())
	cancel()
	require.NoError(t, others.Wait())
	require.NoError(t, db.Flush(context.Background()))
	for w := range writers {
		require.NoError(t, holds(db.DB, fmt.Sprint("w", w), rounds, step))
	}
}

// passing takes the end of the test for no error.
func passing(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// writeAndCheck appends a sample for each round, some late, and looks after each whether all are
// there. (The step of every fifth is left out at first and comes two later.)
func writeAndCheck(ctx context.Context, db *DB, name string, rounds int, step int64) error {
	late := -1
	for n := range rounds {
		if n%5 == 3 {
			late = n
			continue
		}
		if err := appendTo(ctx, db, name, longAgo+int64(n)*step, float64(n)); err != nil {
			return err
		}
		if n%5 == 0 && late >= 0 || n == rounds-1 {
			if err := appendTo(ctx, db, name, longAgo+int64(late)*step, float64(late)); err != nil {
				return err
			}
			if err := holds(db, name, n+1, step); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendTo is what a client does: a reference that is not known any more is looked up anew.
func appendTo(ctx context.Context, db *DB, name string, t int64, v float64) error {
	for {
		refs, err := db.Refs(ctx, nil, []series.Labels{series.FromStrings("__name__", name)})
		if err != nil {
			return err
		}
		rejected, err := db.Append(ctx, row(refs, t, v))
		if err != nil || len(rejected) == 0 {
			return err
		}
		if rejected[0].Reason != frame.UnknownRef {
			return fmt.Errorf("%s at %d: rejected for reason %d", name, t, rejected[0].Reason)
		}
	}
}

// holds says whether a series has just the first n samples of writeAndCheck.
func holds(db *DB, name string, n int, step int64) error {
	all, err := read(db, math.MinInt64, math.MaxInt64, equal("__name__", name))
	if err != nil {
		return err
	}
	have := all[string(series.FromStrings("__name__", name))]
	if len(all) > 1 || len(have) != n {
		return fmt.Errorf("%s: %d series, %d samples, want %d", name, len(all), len(have), n)
	}
	for i := range n {
		if got, ok := have[longAgo+int64(i)*step]; !ok || got != math.Float64bits(float64(i)) {
			return fmt.Errorf("%s: sample %d is %x (%v)", name, i, got, ok)
		}
	}
	return nil
}

// A range of samples that were all acknowledged is read again and again while they move.
func TestReadersSeeEverySampleWhileTheyMove(t *testing.T) {
	const n = 60
	db := run(t, vfs.NewMem(), Options{Retention: century, WALSegmentBytes: 4 << 10})
	ctx, cancel := context.WithCancel(context.Background())
	var readers errgroup.Group
	refs := define(t, db.DB, 20)
	for i := range int64(n) {
		put(t, db.DB, row(refs, longAgo+i*testSlot/10, float64(i)))
	}
	defer func() {
		cancel()
		require.NoError(t, readers.Wait())
	}()
	for range 2 {
		readers.Go(func() error {
			for ctx.Err() == nil {
				all, err := read(db.DB, longAgo, longAgo+n*testSlot, equal("__name__", "m"))
				if err != nil {
					return err
				}
				if len(all) != 20 {
					return fmt.Errorf("%d series", len(all))
				}
				for name, w := range all {
					if len(w) != n {
						return fmt.Errorf("%q has %d samples", name, len(w))
					}
				}
			}
			return nil
		})
	}
	for i := range int64(6) {
		db.Maintain(ctx, time.UnixMilli(longAgo+(i+2)*testSlot))
		put(t, db.DB, row(define(t, db.DB, 20), longAgo-(i+1)*testSlot, -1)) // To delete, in parts of its own.
		require.NoError(t, db.Delete(ctx, longAgo-(i+1)*testSlot, longAgo-1, equal("__name__", "m")))
		// And something in parts that the readers read.
		require.NoError(t, appendTo(ctx, db.DB, "other", longAgo+i*testSlot, 5))
		require.NoError(t, db.Delete(ctx, longAgo, math.MaxInt64, equal("__name__", "other")))
		require.NoError(t, db.CleanTombstones(ctx))
		require.NoError(t, db.Seal(ctx))
	}
}
