package node

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPercentFollowsTheHeap(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 32 << 20: 100, 64 << 20: 50, 160 << 20: 20, 8 << 30: 20} {
		require.Equal(t, want, percentFor(live), live)
	}
}

func TestCollectorTakesWhatIsSet(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	t.Setenv("GOGC", "")
	current := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	var c collector
	c.set(60)
	c.adapt()
	require.Equal(t, 60, current())
	c.set(0)
	require.NotEqual(t, 60, current())
	t.Setenv("GOGC", "75")
	c.set(0)
	followed := current()
	c.adapt()
	require.Equal(t, followed, current())
}
