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

// BenchmarkFlush flushes the samples of a fleet that is scraped each 15 s for some time.
func BenchmarkFlush(b *testing.B) {
	for _, span := range []time.Duration{20 * time.Minute, 2 * time.Hour} {
		b.Run(fmt.Sprint(span), func(b *testing.B) {
			ctx := context.Background()
			var info FlushInfo
			db := runIn(b, b.TempDir(), Options{
				WALSync: wal.Off, Events: Events{Flushed: func(i FlushInfo) { info = i }},
			})
			fleet := storagetest.NewFleet(storagetest.FleetOptions{Seed: 1, Hosts: 30})
			sets := make([]series.Labels, len(fleet.Series()))
			for i, s := range fleet.Series() {
				sets[i] = s.Labels
			}
			refs, err := db.Refs(ctx, nil, sets)
			require.NoError(b, err)
			var points []storagetest.Point
			var spent time.Duration
			from := longAgo
			for range b.N {
				for at := from; at < from+span.Milliseconds(); at += 15_000 {
					points = fleet.Scrape(points[:0], at)
					f := &frame.Frame{}
					for _, p := range points {
						if p.Kind() == series.Float {
							f.Refs, f.Times, f.Values = append(f.Refs, refs[p.Series]), append(f.Times, p.T), append(f.Values, p.V)
						}
					}
					_, err := db.Append(ctx, f)
					require.NoError(b, err)
				}
				begin := cpuTime()
				require.NoError(b, db.Flush(ctx))
				spent += cpuTime() - begin
				from += testSlot
			}
			b.ReportMetric(float64(spent)/float64(b.N)/float64(info.Samples), "cpu-ns/sample")
			b.ReportMetric(float64(info.Bytes)/float64(info.Samples), "B/sample")
			b.ReportMetric(0, "ns/op")
		})
	}
}
