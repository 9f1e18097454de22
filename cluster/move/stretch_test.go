package move

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStretch(t *testing.T) {
	const now = 100*day + day/3
	for _, c := range []struct {
		name                  string
		before, oldest, width int64
		mint, maxt            int64
		ok                    bool
	}{
		{"today and what is to come", everything, 70 * day, day, 100 * day, math.MaxInt64, true},
		{"yesterday", 100 * day, 70 * day, day, 99 * day, 100*day - 1, true},
		{"an eighth of today", everything, 70 * day, day / 8, 100*day + day/4, math.MaxInt64, true},
		{"the eighth before", 100*day + day/4, 70 * day, day / 8, 100*day + day/8, 100*day + day/4 - 1, true},
		{"the rest of a day", 100*day + day/8, 70 * day, day, 100 * day, 100*day + day/8 - 1, true},
		{"several days", 90 * day, 70 * day, 4 * day, 86 * day, 90*day - 1, true},
		{"not beyond the oldest", 72 * day, 70 * day, 4 * day, 70 * day, 72*day - 1, true},
		{"nothing", 70 * day, 70 * day, 4 * day, 0, 0, false},
	} {
		mint, maxt, ok := stretch(c.before, c.oldest, now, c.width)
		require.Equal(t, c.ok, ok, c.name)
		require.Equal(t, []int64{c.mint, c.maxt}, []int64{mint, maxt}, c.name)
	}
}

func TestResize(t *testing.T) {
	require.Equal(t, day/2, resize(day, 0, true))
	require.Equal(t, day/2, resize(day, muchBytes+1, false))
	require.Equal(t, minWidth, resize(minWidth, muchBytes+1, true))
	require.Equal(t, 2*day, resize(day, 0, false))
	require.Equal(t, maxWidth, resize(maxWidth, 0, false))
	require.Equal(t, day, resize(day, littleBytes, false))
}

func TestDays(t *testing.T) {
	const now = 100*day + day/3
	for _, c := range []struct {
		before     int64
		done, left int
	}{{everything, 0, 31}, {100*day + 1, 0, 31}, {100 * day, 1, 30}, {71 * day, 30, 1}, {70 * day, 31, 0}, {60 * day, 31, 0}} {
		done, left := days(c.before, 70*day, now)
		require.Equal(t, []int{c.done, c.left}, []int{done, left}, c.before)
	}
}
