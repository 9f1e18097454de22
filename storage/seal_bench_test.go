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

// scraper appends what a fleet is scraped of.
type scraper struct {
	b      *testing.B
	db     *DB
	fleet  *storagetest.Fleet
	refs   []series.Ref
	points []storagetest.Point
}

func newScraper(b *testing.B, db *DB, hosts int) *scraper {
	b.Helper()
	s := &scraper{b: b, db: db, fleet: storagetest.NewFleet(storagetest.FleetOptions{Seed: 1, Hosts: hosts})}
	sets := make([]series.Labels, len(s.fleet.Series()))
	for i, one := range s.fleet.Series() {
		sets[i] = one.Labels
	}
	var err error
	s.refs, err = db.Refs(b.Context(), nil, sets)
	require.NoError(b, err)
	return s
}

func (s *scraper) scrape(at int64) {
	s.b.Helper()
	s.points = s.fleet.Scrape(s.points[:0], at)
	f := &frame.Frame{}
	for _, p := range s.points {
		f.Refs, f.Times, f.Values = append(f.Refs, s.refs[p.Series]), append(f.Times, p.T), append(f.Values, p.V)
	}
	rejected, err := s.db.Append(s.b.Context(), f)
	require.NoError(s.b, err)
	require.Empty(s.b, rejected)
}

// scrapeFleet appends what a fleet is scraped of each 15 s, and flushes as time goes.
func scrapeFleet(b *testing.B, db *DB, hosts int, from, to int64) {
	b.Helper()
	s := newScraper(b, db, hosts)
	for at := from; at < to; at += 15_000 {
		s.scrape(at)
		if (at-from)%testSlot == 0 {
			db.Maintain(b.Context(), time.UnixMilli(at+testSlot/2))
		}
	}
	require.NoError(b, db.Flush(b.Context()))
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
