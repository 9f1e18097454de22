package querier

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	runtimemetrics "runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// heldAndUsed runs f and returns the most bytes that its queries held by their accounts, and by which
// the heap grew.
func heldAndUsed(e *Engine, f func()) (held, grown int64) {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	live := func() int64 { // What the collection found, without what was allocated meanwhile.
		runtime.GC()
		runtimemetrics.Read(sample)
		return int64(sample[0].Value.Uint64())
	}
	live() // Twice, for what pools keep.
	before := live()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ; ctx.Err() == nil; <-tick.C {
			// The account may be emptied while the heap is looked at, never filled by much.
			h := e.memory.used.Load()
			g := live() - before
			held, grown = max(held, h, e.memory.used.Load()), max(grown, g)
		}
	})
	f()
	cancel()
	wg.Wait()
	return held, grown
}

// stopTheWorld has the runtime stop everything while it collects. What is allocated while it marks counts as
// live otherwise, which is more the busier the machine is.
const stopTheWorld = "gcstoptheworld=1"

// What a query is taken to hold is what it holds, or more. It runs in a process of its own.
func TestWeights(t *testing.T) {
	if testing.Short() {
		t.Skip("collects garbage all the time")
	}
	if os.Getenv("GODEBUG") != stopTheWorld {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWeights$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG="+stopTheWorld)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		t.Logf("%s", out)
		return
	}
	const series = 1500
	e := newTestEngine(t, &fakeStore{series: series, samples: 240}, Options{
		Plain: true, MaxQueryBytes: -1, MaxBytes: -1, MaxSamples: -1, Timeout: time.Minute,
	})
	window := Window{Start: unix(600), End: unix(3000), Step: 15 * time.Second}
	for _, query := range []string{
		"up", "sum by (i) (up)", "up * 2 + 1", "up or up", "up * on (i) group_left () up + up", "rate(up[5m]) / up",
		"quantile_over_time(0.9, up[5m])", "topk by (i) (3, up)", "max_over_time(up[10m:1m])", "timestamp(up)",
		`label_join(label_join(up, "x", ",", "i", "i"), "x", ",", "x", "x", "x", "x")`, `count_values("v", up)`, "up[1h]",
	} {
		t.Run(query, func(t *testing.T) {
			run := func() (*Result, error) {
				if query == "up[1h]" {
					return e.Instant(context.Background(), query, unix(3600), QueryOptions{})
				}
				return e.Range(context.Background(), query, window, QueryOptions{})
			}
			held, grown := heldAndUsed(e, func() {
				r, err := run()
				require.NoError(t, err)
				r.Close()
			})
			t.Logf("held %d KiB, grown by %d KiB, %.2f", held>>10, grown>>10, float64(held)/float64(max(grown, 1)))
			require.Less(t, grown, held+held/2+3<<20)
		})
	}
}
