package querier_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier"
)

// BenchmarkDashboard refreshes 24 queries over a day at a step of a minute, each time so much later, over
// 200 series with a sample each 15 s.
func BenchmarkDashboard(b *testing.B) {
	d := newDashboard(b, querier.Options{})
	d.scrape(200, 25*time.Hour)
	require.NoError(b, d.db.Flush(context.Background()))
	var exprs []string
	for _, inner := range []string{"rate(m_total[5m])", "m_total", "max_over_time(m_total[10m])", "increase(m_total[1h])"} {
		exprs = append(exprs, inner, fmt.Sprintf("topk(5, %s)", inner))
		for _, op := range []string{"sum", "sum by (job)", "max by (job)", "quantile by (job)"} {
			if op == "quantile by (job)" {
				exprs = append(exprs, fmt.Sprintf("%s (0.9, %s)", op, inner))
			} else {
				exprs = append(exprs, fmt.Sprintf("%s (%s)", op, inner))
			}
		}
	}
	require.Len(b, exprs, 24)
	for _, later := range []time.Duration{15 * time.Second, time.Minute} {
		for _, whole := range []bool{true, false} {
			b.Run(fmt.Sprintf("later=%s/cache=%t", later, !whole), func(b *testing.B) {
				refresh := func() {
					end := d.now / 60_000 * 60_000
					w := querier.Window{Start: time.UnixMilli(end - 86_400_000), End: time.UnixMilli(end), Step: time.Minute}
					for _, expr := range exprs {
						r, err := d.engine.Range(context.Background(), expr, w, querier.QueryOptions{NoCache: whole})
						if err != nil {
							b.Fatal(err)
						}
						r.Close()
					}
				}
				refresh()
				used := time.Duration(0)
				for b.Loop() {
					d.scrape(200, later)
					begin := cpuTime()
					refresh()
					used += cpuTime() - begin
				}
				b.ReportMetric(used.Seconds()*1000/float64(b.N), "cpu-ms/refresh")
			})
		}
	}
}
