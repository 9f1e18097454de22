package wire_test

import (
	"context"
	"math"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/storagetest"
)

// BenchmarkSelect reads the series of some hosts from another node: their labels, and two hours of
// them from a part.
func BenchmarkSelect(b *testing.B) {
	ctx := context.Background()
	db, stop := openDB(b, vfs.NewMem())
	defer func() {
		stop()
		require.NoError(b, db.Close())
	}()
	fleet := storagetest.NewFleet(storagetest.FleetOptions{Hosts: 10})
	var sets []series.Labels
	for _, s := range fleet.Series() {
		sets = append(sets, s.Labels)
	}
	refs, err := db.Refs(ctx, nil, sets)
	require.NoError(b, err)
	var points []storagetest.Point
	for i := range int64(480) {
		var f frame.Frame
		points = fleet.Scrape(points[:0], storagetest.Base+i*15_000)
		for _, p := range points {
			if p.Sample.Kind() == series.Float {
				f.Refs, f.Times, f.Values = append(f.Refs, refs[p.Series]), append(f.Times, p.Sample.T), append(f.Values, p.Sample.V)
			}
		}
		_, err := db.Append(ctx, &f)
		require.NoError(b, err)
	}
	require.NoError(b, db.Flush(ctx))
	local := leaf.New(db)
	for name, sel := range map[string]series.Selector{
		"labels": {Maxt: math.MaxInt64, SkipChunks: true},
		"chunks": {Maxt: math.MaxInt64},
	} {
		b.Run(name, func(b *testing.B) {
			remote, n := serve(b, local)
			sent, all := 0, 0
			n.Tap = func(_ int, msg []byte) error { sent += len(msg); return nil }
			for b.Loop() {
				got, err := list(b, remote, sel)
				require.NoError(b, err)
				all += len(got)
			}
			raw := 0
			got, err := list(b, local, sel)
			require.NoError(b, err)
			for _, s := range got {
				raw += len(s.Labels)
				for _, c := range s.Chunks {
					raw += len(c.Data)
				}
			}
			b.ReportMetric(float64(sent)/float64(all), "sent-bytes/series")
			b.ReportMetric(float64(raw)/float64(len(got)), "plain-bytes/series")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(all), "ns/series")
		})
	}
}
