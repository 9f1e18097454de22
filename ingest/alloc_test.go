//go:build !race

package ingest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// The race detector makes sync.Pool forget at random.
func TestKnownSeriesAllocateNothing(t *testing.T) {
	s := newFakeStore()
	w := newWriter(t, s, ingest.Options{})
	var sets [][]series.Pair
	for i := range 500 {
		sets = append(sets, pairs("__name__", "m", "n", fmt.Sprint(i)))
	}
	b := batch(time.Now().UnixMilli(), sets...)
	write(t, w, b)
	s.reject = func(*frame.Frame) []frame.Rejected { return nil } // Its maps would count.
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := w.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	})
	require.Less(t, allocs, 1.0)
}
