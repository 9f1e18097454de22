package storage

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/storagetest"
	"github.com/barograph-db/barograph/storage/wal"
)

// scrapeFleet appends what a fleet is scraped of each 15 s, and flushes as time goes.
func scrapeFleet(b *testing.B, db *DB, hosts int, from, to int64) {
	b.Helper()
	ctx := context.Background()
	fleet := storagetest.NewFleet(storagetest.FleetOptions{Seed: 1, Hosts: hosts})
	sets := make([]series.Labels, len(fleet.Series()))
	for i, s := range fleet.Series() {
		sets[i] = s.Labels
	}
	refs, err := db.Refs(ctx, nil, sets)
	require.NoError(b, err)
	var points []storagetest.Point
	for at := from; at < to; at += 15_000 {
		points = fleet.Scrape(points[:0], at)
		f := &frame.Frame{}
		for _, p := range points {
			f.Refs, f.Times, f.Values = append(f.Refs, refs[p.Series]), append(f.Times, p.T), append(f.Values, p.V)
		}
		rejected, err := db.Append(ctx, f)
		require.NoError(b, err)
		require.Empty(b, rejected)
		if (at-from)%testSlot == 0 {
			db.Maintain(ctx, time.UnixMilli(at+testSlot/2))
		}
	}
	require.NoError(b, db.Flush(ctx))
}

// BenchmarkSeal seals a day of a fleet that is scraped each 15 s.
func BenchmarkSeal(b *testing.B) {
	const midnight = longAgo / dayMillis * dayMillis
	for _, hosts := range []int{4, 16} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			var info SealInfo
			var spent time.Duration
			b.StopTimer()
			for range b.N {
				db := runIn(b, b.TempDir(), Options{
					WALSync: wal.Off, Events: Events{Sealed: func(i SealInfo) { info = i }},
				})
				scrapeFleet(b, db.DB, hosts, midnight+1000, midnight+dayMillis-1000)
				b.StartTimer()
				require.NoError(b, db.Seal(context.Background()))
				b.StopTimer()
				spent += info.Duration
				db.stop()
			}
			n := float64(info.Samples)
			b.ReportMetric(float64(info.BytesIn)/n, "B/sample-before")
			b.ReportMetric(float64(info.BytesOut)/n, "B/sample-after")
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/n, "ns/sample")
		})
	}
}
