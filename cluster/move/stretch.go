package move

import (
	"math"
	"time"
)

const (
	day = int64(24 * time.Hour / time.Millisecond)
	// minWidth and maxWidth of a stretch. A chunk of a sealed day is rarely shorter than the first, and
	// would be copied with each stretch that it lies in.
	minWidth = day / 8
	maxWidth = 64 * day
	// littleBytes and muchBytes are what came of a stretch for the next to be wider, or narrower: it is in
	// the memory of the node that serves it.
	littleBytes = 8 << 20
	muchBytes   = 64 << 20
)

// everything is before this time.
const everything = math.MaxInt64

// stretch returns the first and the last millisecond of the next stretch, when what is before some
// time is still to be copied, back to the oldest. false: nothing is.
func stretch(before, oldest, now, width int64) (mint, maxt int64, ok bool) {
	if before <= oldest {
		return 0, 0, false
	}
	end := before
	if before == everything {
		end = now
	}
	unit := min(width, day)
	mint = floor(end-1, unit) - (width - unit)
	if before == everything {
		return max(mint, oldest), everything, true
	}
	return max(mint, oldest), before - 1, true
}

// resize returns the width of the next stretch, given what came of the last.
func resize(width, bytes int64, failed bool) int64 {
	switch {
	case failed || bytes > muchBytes:
		return max(width/2, minWidth)
	case bytes < littleBytes:
		return min(width*2, maxWidth)
	}
	return width
}

// days says how many days are copied and how many are left.
func days(before, oldest, now int64) (done, left int) {
	all := int((floor(now, day)-floor(oldest, day))/day) + 1
	if before == everything {
		return 0, all
	}
	left = int(max(0, before-oldest+day-1) / day)
	return max(0, all-left), left
}

// oldest is when the first day that is copied begins.
func oldest(now time.Time, retention time.Duration) int64 {
	return floor(now.Add(-retention).UnixMilli(), day)
}

func floor(t, unit int64) int64 {
	r := t % unit
	if r < 0 {
		r += unit
	}
	return t - r
}
