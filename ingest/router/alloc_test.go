//go:build !race

package router

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/frame"
)

// The race detector makes sync.Pool forget at random.
func TestAppendAllocatesNothing(t *testing.T) {
	for _, factor := range []int{1, 2, 3} {
		s := sink{newStore()}
		r, err := New(Options{Self: id(0), Local: s, Reach: func(placement.NodeID) (Sender, bool) { return s, true }})
		require.NoError(t, err)
		r.SetPlacement(found(t, factor, 3, 3))
		refs, err := r.Refs(t.Context(), nil, sets(500))
		require.NoError(t, err)
		f := floats(1, refs...)
		f.Histograms = []frame.Histogram{{Ref: refs[0], T: 1, H: integers(1)}}
		f.Metadata = []frame.Metadata{{Metric: "m"}}
		allocs := testing.AllocsPerRun(100, func() {
			if _, err := r.Append(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		})
		require.Less(t, allocs, 1.0, "RF %d", factor)
	}
}
