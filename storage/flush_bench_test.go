package storage

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
			fleet := newScraper(b, db.DB, 30)
			var spent time.Duration
			from := longAgo
			for range b.N {
				for at := from; at < from+span.Milliseconds(); at += 15_000 {
					fleet.scrape(at)
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
