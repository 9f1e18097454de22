package querier_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/queriertest"
)

// BenchmarkPushdown asks for an hour of 20,000 series that lie on three nodes, and of the same on one. The
// nodes share the process, so that the CPU time is that of all. What plain=true brings to the node that
// was asked are the series.
func BenchmarkPushdown(b *testing.B) {
	one := counters(b, 20_000, time.Hour)
	w := querier.Window{Start: time.UnixMilli(300_000), End: time.UnixMilli(3_900_000), Step: time.Minute}
	for _, expr := range []string{"sum by (job) (rate(m_total[5m]))", "topk(10, rate(m_total[5m]))", "sum(m_total)"} {
		opts := querier.Options{MaxQueryBytes: -1, MaxBytes: -1}
		alone, err := querier.New(one, opts)
		require.NoError(b, err)
		run := func(b *testing.B, e *querier.Engine) {
			begin := cpuTime()
			for b.Loop() {
				r, err := e.Range(context.Background(), expr, w, querier.QueryOptions{})
				if err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
			b.ReportMetric(float64((cpuTime()-begin).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		}
		b.Run(expr+"/nodes=1", func(b *testing.B) { run(b, alone) })
		for name, plain := range map[string]bool{"/nodes=3": false, "/nodes=3/plain=true": true} {
			opts.Plain = plain
			b.Run(expr+name, func(b *testing.B) {
				var bytes atomic.Int64
				c := spread(b, one, opts)
				for i := range c.Engines {
					c.Tap(i, func(_ int, msg []byte) error {
						bytes.Add(int64(len(msg)))
						return nil
					})
				}
				run(b, c.Engines[0])
				b.ReportMetric(float64(bytes.Load())/float64(b.N), "received-bytes/op")
			})
		}
	}
}

// spread puts each series on one of three nodes.
func spread(b *testing.B, all *fixedStore, opts querier.Options) *queriertest.Cluster {
	nodes, stores := make([]*fixedStore, 3), make([]leaf.Store, 3)
	for i := range nodes {
		nodes[i] = &fixedStore{}
		stores[i] = nodes[i]
	}
	c := queriertest.NewCluster(b, stores, 1, opts)
	for _, s := range all.series {
		for i, n := range nodes {
			if c.Holds(i, s.Labels) {
				n.series = append(n.series, s)
			}
		}
	}
	return c
}
