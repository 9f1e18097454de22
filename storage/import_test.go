package storage

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/storagetest"
)

// newDonor is another node's storage, with samples of the series, whose label i is a letter, a quarter
// of an hour apart. It says where they are.
func newDonor(t *testing.T, sets []series.Labels, start, end int64) (*DB, []spot) {
	t.Helper()
	donor := run(t, vfs.NewMem(), Options{Retention: century})
	refs, err := donor.Refs(context.Background(), nil, sets)
	require.NoError(t, err)
	var spots []spot
	for at := start + 11_000; at < end; at += 900_000 {
		f := &frame.Frame{}
		for n, ref := range refs {
			i := int(sets[n].Get("i")[0] - 'a')
			spots = append(spots, spot{i, at})
			f.Refs, f.Times, f.Values = append(f.Refs, ref), append(f.Times, at), append(f.Values, valueAt(spot{i, at}))
		}
		put(t, donor.DB, f)
	}
	return donor.DB, spots
}

func everythingOf(t *testing.T, db *DB) chunk.SeriesSet {
	t.Helper()
	set, err := db.Select(context.Background(), series.Selector{Mint: math.MinInt64, Maxt: math.MaxInt64})
	require.NoError(t, err)
	return set
}

// imports is a store that gets all that is written to it by way of another one, again and again.
type imports struct {
	*randomly
	donor *randomly
}

// bring has it import what the other one has.
func (s imports) bring(ctx context.Context) error {
	set, err := s.donor.Select(ctx, series.Selector{Mint: math.MinInt64, Maxt: math.MaxInt64})
	if err == nil {
		_, err = s.Import(ctx, set)
	}
	return err
}

func (s imports) Refs(ctx context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error) {
	return s.donor.Refs(ctx, dst, sets)
}

func (s imports) Append(ctx context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	return s.donor.Append(ctx, f)
}

func (s imports) Select(ctx context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	if err := s.bring(ctx); err != nil {
		return nil, err
	}
	return s.randomly.Select(ctx, sel)
}

func (s imports) LabelNames(ctx context.Context, sel series.Selector) ([]string, error) {
	if err := s.bring(ctx); err != nil {
		return nil, err
	}
	return s.randomly.LabelNames(ctx, sel)
}

func (s imports) LabelValues(ctx context.Context, name string, sel series.Selector) ([]string, error) {
	if err := s.bring(ctx); err != nil {
		return nil, err
	}
	return s.randomly.LabelValues(ctx, name, sel)
}

func (s imports) Delete(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) error {
	return errors.Join(s.donor.Delete(ctx, mint, maxt, ms...), s.randomly.Delete(ctx, mint, maxt, ms...))
}

func (s imports) Flush(ctx context.Context) error {
	return errors.Join(s.donor.Flush(ctx), s.randomly.Flush(ctx))
}

func (s imports) Close() error { return errors.Join(s.donor.Close(), s.randomly.Close()) }

// What was imported is what the other node has: every kind of sample, in the head or in parts there,
// sealed here or not, and however often it comes.
func TestConformanceOfImports(t *testing.T) {
	const seeds = 2
	disks := map[string][2]*disk{}
	storagetest.Run(t, func(t *testing.T, dir string) storagetest.Store {
		d, known := disks[dir]
		if !known {
			if !*thorough && len(disks) == seeds && strings.Contains(t.Name(), "random") {
				t.Skip("only with -thorough")
			}
			for i := range d {
				d[i] = &disk{fs: vfs.NewCrashableMem(), r: rand.New(rand.NewPCG(uint64(len(disks)), uint64(20+i)))}
			}
			disks[dir] = d
		}
		return imports{d[0].open(t), d[1].open(t)}
	})
}

// A day is one part however many series it has, and each import has a number of its own.
func TestImportMakesDays(t *testing.T) {
	db := run(t, vfs.NewMem(), Options{Retention: century})
	donor, spots := newDonor(t, []series.Labels{
		series.FromStrings("__name__", "m", "i", "a"), series.FromStrings("__name__", "m", "i", "b"),
	}, midnight+dayMillis/2, midnight+5*dayMillis/2)
	for n := range 3 {
		info, err := db.Import(t.Context(), everythingOf(t, donor))
		require.NoError(t, err)
		require.Equal(t, 3, info.Parts)
		require.Equal(t, int64(len(spots)), info.Samples)
		require.Len(t, db.parts.snapshot(), 3*(n+1))
	}
	require.NoError(t, db.Seal(t.Context()))
	require.Len(t, db.parts.snapshot(), 3)
	require.Equal(t, readAll(t, donor), readAll(t, db.DB))
}

// An import goes on where flushes and seals do, and a restart changes nothing.
func TestImportBesideTheHead(t *testing.T) {
	disk := vfs.NewMem()
	db := run(t, disk, Options{Retention: century})
	refs := define(t, db.DB, 2)
	put(t, db.DB, row(refs, midnight+1000, 1))
	donor, _ := newDonor(t, []series.Labels{series.FromStrings("__name__", "m", "i", "0")}, midnight, midnight+testSlot)
	_, err := db.Import(t.Context(), everythingOf(t, donor))
	require.NoError(t, err)
	put(t, db.DB, row(refs, midnight+2000, 2))
	before := readAll(t, db.DB)
	require.Len(t, before, 2)
	db.stop()
	db = run(t, disk, Options{Retention: century})
	require.Equal(t, before, readAll(t, db.DB), "what was in the log is read as if there had been no import")
	db.Maintain(t.Context(), time.UnixMilli(midnight+2*dayMillis))
	require.Equal(t, before, readAll(t, db.DB))
}

type brokenSet struct {
	chunk.SeriesSet
	left   int
	closed bool
}

var errBroken = errors.New("broken")

func (s *brokenSet) Next() bool {
	s.left--
	return s.left >= 0 && s.SeriesSet.Next()
}

func (s *brokenSet) Err() error { return errBroken }

func (s *brokenSet) Close() error {
	s.closed = true
	return s.SeriesSet.Close()
}

func TestImportOfASetThatBreaks(t *testing.T) {
	db := run(t, vfs.NewMem(), Options{Retention: century})
	donor, _ := newDonor(t, []series.Labels{
		series.FromStrings("__name__", "m", "i", "a"), series.FromStrings("__name__", "m", "i", "b"),
	}, midnight, midnight+dayMillis)
	set := &brokenSet{SeriesSet: everythingOf(t, donor), left: 1}
	_, err := db.Import(t.Context(), set)
	require.ErrorIs(t, err, errBroken)
	require.True(t, set.closed)
	require.Empty(t, readAll(t, db.DB))
	db.stop()
	_, err = db.Import(t.Context(), everythingOf(t, donor))
	require.ErrorIs(t, err, ErrClosed)
}
