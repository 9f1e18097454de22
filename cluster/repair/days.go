package repair

import (
	"slices"
	"time"
)

// Days are numbered from the epoch on.

const (
	dayMillis  = int64(24 * time.Hour / time.Millisecond)
	slotMillis = int64(2 * time.Hour / time.Millisecond)
	// recentDays, today's included, are compared every recentEvery; others every pastEvery.
	recentDays  = 2
	recentEvery = 6 * time.Hour
	pastEvery   = 7 * 24 * time.Hour
	// young is what is not compared: it is still on its way.
	young = time.Hour
	// retryAfter is how long after a failure a day is tried again.
	retryAfter = 5 * time.Minute
	// sameTime is how far apart days may have been compared to be remembered together.
	sameTime = time.Hour
	// maxRuns of days are remembered.
	maxRuns = 4096
)

// compared are days that were compared with all other replicas about the same time.
type compared struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"` // inclusive
	At    int64 `json:"at"`   // Unix ms
}

// comparedAt is when a day was compared; false: never.
func comparedAt(runs []compared, day int64) (at int64, ok bool) {
	i, found := slices.BinarySearchFunc(runs, day, func(c compared, day int64) int {
		switch {
		case c.Last < day:
			return -1
		case c.First > day:
			return 1
		}
		return 0
	})
	if !found {
		return 0, false
	}
	return runs[i].At, true
}

// withCompared returns the runs and one more, which takes the place of what they say of its days.
// Those before oldest are left out.
func withCompared(runs []compared, c compared, oldest int64) []compared {
	var out []compared
	for _, o := range runs {
		if before := (compared{o.First, min(o.Last, c.First-1), o.At}); before.First <= before.Last {
			out = append(out, before)
		}
		if after := (compared{max(o.First, c.Last+1), o.Last, o.At}); after.First <= after.Last {
			out = append(out, after)
		}
	}
	out = append(out, c)
	slices.SortFunc(out, func(a, b compared) int { return int(a.First - b.First) })
	joined := out[:0]
	for _, o := range out {
		n := len(joined)
		switch {
		case o.Last < oldest:
		case n > 0 && joined[n-1].Last+1 == o.First && max(o.At-joined[n-1].At, joined[n-1].At-o.At) < sameTime.Milliseconds():
			joined[n-1].Last, joined[n-1].At = o.Last, min(joined[n-1].At, o.At)
		default:
			joined = append(joined, o)
		}
	}
	return joined[max(0, len(joined)-maxRuns):]
}

// calendar is what the next days follow from.
type calendar struct {
	now      int64 // Unix ms
	keptFrom int64 // Unix ms
	compared []compared
	tried    map[int64]int64 // days that failed, and when
}

// span returns the first and the last day that are compared; first is above last if there is none.
func (c *calendar) span() (first, last int64) {
	return floor(c.keptFrom+young.Milliseconds()-1, dayMillis)/dayMillis + 1, floor(c.end()-1, dayMillis) / dayMillis
}

// end is the time from which on samples are young. It is the end of a slot.
func (c *calendar) end() int64 { return floor(c.now-young.Milliseconds(), slotMillis) }

// overdue is how many times over a day is due, at least 1 if it is; never says that it was not compared yet.
func (c *calendar) overdue(day int64) (times float64, never bool) {
	if at, ok := c.tried[day]; ok && c.now-at < retryAfter.Milliseconds() {
		return 0, false
	}
	every := pastEvery
	if day > floor(c.now, dayMillis)/dayMillis-recentDays {
		every = recentEvery
	}
	at, ok := comparedAt(c.compared, day)
	if !ok {
		return 1, true
	}
	return float64(c.now-at) / float64(every.Milliseconds()), false
}

// next returns the days to compare: one, and up to most in all with those before it that are due, too.
func (c *calendar) next(most int64) (first, last int64, ok bool) {
	oldest, newest := c.span()
	best, bestNever := 0.0, false
	for day := newest; day >= oldest; day-- {
		times, never := c.overdue(day)
		if times >= 1 && (never && !bestNever || never == bestNever && times > best) {
			last, best, bestNever, ok = day, times, never, true
		}
		if bestNever { // The newest that never was.
			break
		}
	}
	if !ok {
		return 0, 0, false
	}
	first = last
	for first > oldest && last-first+1 < most {
		if times, _ := c.overdue(first - 1); times < 1 {
			break
		}
		first--
	}
	return first, last, true
}

// pass is the time within which all days were compared; false: some never was.
func (c *calendar) pass() (time.Duration, bool) {
	oldest, newest := c.span()
	least := c.now
	for day := newest; day >= oldest; day-- {
		at, ok := comparedAt(c.compared, day)
		if !ok {
			return 0, false
		}
		least = min(least, at)
	}
	return time.Duration(c.now-least) * time.Millisecond, true
}

func floor(t, unit int64) int64 {
	r := t % unit
	if r < 0 {
		r += unit
	}
	return t - r
}
