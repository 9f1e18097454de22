package fanout

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDelays(t *testing.T) {
	d := newDelays(20*time.Millisecond, 500*time.Millisecond)
	require.Equal(t, 500*time.Millisecond, d.of(forSeries))
	for i := range 2 * remembered {
		d.observe(forSeries, time.Duration(i%100)*time.Millisecond)
		d.observe(forNames, time.Microsecond)
		d.observe(forValues, time.Hour)
	}
	require.InDelta(t, 95, d.of(forSeries).Milliseconds(), 3)
	require.Equal(t, 20*time.Millisecond, d.of(forNames))
	require.Equal(t, 500*time.Millisecond, d.of(forValues))
	require.Equal(t, 500*time.Millisecond, d.of(forExemplars))
}
