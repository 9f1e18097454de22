package repair

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

const hourMillis = dayMillis / 24

func TestNextDays(t *testing.T) {
	const today = int64(20_000)
	now := today*dayMillis + 5*hourMillis
	at := func(hours int64) int64 { return now - hours*hourMillis }
	calendarOf := func(runs ...compared) calendar {
		return calendar{now: now, keptFrom: (today-9)*dayMillis - 2*hourMillis, compared: runs}
	}
	for _, c := range []struct {
		name        string
		calendar    calendar
		most        int64
		first, last int64 // 0: none
	}{
		{"nothing was compared: today", calendarOf(), 1, today, today},
		{"several", calendarOf(), 4, today - 3, today},
		{"no older ones than are kept", calendarOf(), 100, today - 9, today},
		{"the newest that never was", calendarOf(compared{today - 2, today, at(1)}), 1, today - 3, today - 3},
		{"never before overdue", calendarOf(compared{today - 2, today, at(1000)}), 1, today - 3, today - 3},
		{"all were", calendarOf(compared{today - 9, today, at(1)}), 1, 0, 0},
		{"recent ones are due", calendarOf(compared{today - 9, today - 2, at(1)}, compared{today - 1, today, at(7)}), 1, today, today},
		{"the most overdue", calendarOf(compared{today - 9, today - 5, at(400)}, compared{today - 4, today, at(7)}), 1, today - 5, today - 5},
		{"with those before it", calendarOf(compared{today - 9, today - 5, at(400)}, compared{today - 4, today, at(7)}), 3, today - 7, today - 5},
	} {
		first, last, ok := c.calendar.next(c.most)
		require.Equal(t, c.first != 0, ok, c.name)
		if ok {
			require.Equal(t, [2]int64{c.first, c.last}, [2]int64{first, last}, c.name)
		}
	}

	c := calendarOf()
	c.tried = map[int64]int64{today: now - 1000}
	_, last, ok := c.next(1)
	require.True(t, ok)
	require.Equal(t, today-1, last, "what failed waits")
	c.tried[today] = now - retryAfter.Milliseconds()
	_, last, _ = c.next(1)
	require.Equal(t, today, last)

	_, all := c.pass()
	require.False(t, all)
	c = calendarOf(compared{today - 9, today - 5, at(40)}, compared{today - 4, today, at(7)})
	d, all := c.pass()
	require.True(t, all)
	require.Equal(t, 40*time.Hour, d)

	early := calendar{now: today*dayMillis + hourMillis/2, keptFrom: 0}
	_, last, _ = early.next(1)
	require.Equal(t, today-1, last, "of today nothing is old enough")
	require.Equal(t, today*dayMillis-slotMillis, early.end(), "nor of the last slot")
}

// Runs of days say of each day what was last said of it, in order, and are not more than they need to be.
func TestCompared(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	want := map[int64]int64{}
	var runs []compared
	for step := range int64(500) {
		first := rng.Int64N(100)
		c := compared{first, first + rng.Int64N(10), step * 2 * hourMillis}
		runs = withCompared(runs, c, 20)
		for day := c.First; day <= c.Last; day++ {
			want[day] = c.At
		}
		for i, r := range runs {
			require.LessOrEqual(t, r.First, r.Last)
			require.True(t, i == 0 || runs[i-1].Last < r.First)
		}
		for day := int64(20); day < 120; day++ {
			at, ok := comparedAt(runs, day)
			require.Equal(t, want[day] > 0 || step == 0 && ok || ok && at == 0, ok)
			require.Equal(t, want[day], at, "day %d", day)
		}
	}
	require.Len(t, withCompared([]compared{{1, 4, 1000}, {5, 6, 2000}}, compared{7, 7, 3000}, 0), 1, "about the same time")
	require.Equal(t, []compared{{1, 7, 1000}}, withCompared([]compared{{1, 4, 1000}, {5, 6, 2000}}, compared{7, 7, 3000}, 0))
}

func TestWithGap(t *testing.T) {
	gaps := withGap(nil, Gap{From: 10, To: 20, Forgot: true, Parts: []string{"b"}})
	gaps = withGap(gaps, Gap{From: 5, To: 30})
	require.Len(t, gaps, 2, "of another kind")
	gaps = withGap(gaps, Gap{From: 15, To: 25, Forgot: true, Parts: []string{"a", "b"}})
	require.Equal(t, []Gap{{From: 5, To: 30}, {From: 10, To: 25, Forgot: true, Parts: []string{"a", "b"}}}, gaps)
	for i := range int64(2 * maxGaps) {
		gaps = withGap(gaps, Gap{From: 1000 * (i + 1), To: 1000*(i+1) + 1})
		require.LessOrEqual(t, len(gaps), maxGaps)
		require.True(t, slices.IsSortedFunc(gaps, func(a, b Gap) int { return int(a.From - b.From) }))
	}
}

func node(i int) placement.NodeID { return placement.NodeID{15: byte(i)} }

// three nodes have all of four shards.
func three(t *testing.T) *placement.Placement {
	p, err := placement.Found(2, 3, []placement.Node{
		{ID: node(1), Name: "one", Weight: 1}, {ID: node(2), Name: "two", Weight: 1}, {ID: node(3), Name: "three", Weight: 1},
	})
	require.NoError(t, err)
	return p
}

func TestEnough(t *testing.T) {
	p := three(t)
	shards := own(p, node(1))
	require.Len(t, shards, 4)
	with := func(nodes map[int]bool) met {
		m := met{}
		for _, s := range shards {
			for n, counts := range nodes {
				m[meeting{s, node(n)}] = counts
			}
		}
		return m
	}
	but := func(dead int) func(placement.NodeID) bool {
		return func(n placement.NodeID) bool { return n != node(dead) }
	}
	for _, c := range []struct {
		nodes          map[int]bool
		dead           int
		all            bool
		missed, forgot bool
	}{
		{nil, 0, false, false, false},
		{map[int]bool{2: true}, 0, false, true, false},
		{map[int]bool{2: true}, 3, true, true, false},
		{map[int]bool{2: true, 3: true}, 0, true, true, true},
		{map[int]bool{2: true, 3: false}, 0, true, true, false},
		{map[int]bool{2: false, 3: false}, 0, true, false, false},
	} {
		m := with(c.nodes)
		require.Equal(t, c.all, m.all(p, node(1), but(c.dead), shards), c)
		require.Equal(t, c.missed, m.enough(p, node(1), shards, false), c)
		require.Equal(t, c.forgot, m.enough(p, node(1), shards, true), c)
	}
	m := with(map[int]bool{2: true, 3: true})
	delete(m, meeting{2, node(3)})
	require.False(t, m.enough(p, node(1), shards, true), "one shard is enough")
	require.True(t, met{}.enough(p, node(1), nil, true))
}

func TestFetches(t *testing.T) {
	q := Question{Shards: setOf(3, []series.Shard{1, 4, 5}), Mint: 0, Maxt: 3999, Slot: 1000}
	text := func(here, there map[[2]int]uint64, most uint64) (lines []string) {
		cells := func(m map[[2]int]uint64) []series.Digest {
			ds := make([]series.Digest, 3*4)
			for k, n := range m {
				ds[k[0]*4+k[1]] = series.Digest{Sum: n, Samples: n}
			}
			return ds
		}
		for _, s := range fetches(q, cells(here), cells(there), most) {
			lines = append(lines, fmt.Sprint(list(s.Shards), " ", s.Mint, "-", s.Maxt))
		}
		return lines
	}
	type cells = map[[2]int]uint64
	require.Empty(t, text(nil, nil, 10))
	require.Empty(t, text(cells{{0, 1}: 5}, nil, 10), "what only this one has")
	require.Empty(t, text(cells{{0, 1}: 5}, cells{{0, 1}: 5}, 10))
	require.Equal(t, []string{"[1] 1000-1999"}, text(cells{{0, 1}: 5}, cells{{0, 1}: 4}, 10))
	require.Equal(t, []string{"[1 5] 1000-2999"}, text(nil, cells{{0, 1}: 2, {2, 1}: 1, {0, 2}: 2, {2, 2}: 1}, 10), "slots of the same shards")
	require.Equal(t, []string{"[1 5] 1000-1999", "[1] 2000-2999"}, text(nil, cells{{0, 1}: 2, {2, 1}: 1, {0, 2}: 2}, 10))
	require.Equal(t, []string{"[1] 1000-1999", "[1] 3000-3999"}, text(nil, cells{{0, 1}: 2, {0, 3}: 2}, 10))
	require.Equal(t, []string{"[1 4] 0-999", "[5] 0-999", "[1] 1000-1999"}, text(nil, cells{{0, 0}: 4, {1, 0}: 4, {2, 0}: 4, {0, 1}: 20}, 10), "not too many at once")
}

// Whatever differs, and nothing beside it, is fetched once.
func TestFetchesOfAnything(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 300 {
		q := Question{Shards: setOf(4, []series.Shard{0, 3, 7, 8, 15}), Mint: -500, Maxt: 5_000, Slot: 1000}
		n := 5 * q.slots()
		here, there := make([]series.Digest, n), make([]series.Digest, n)
		for i := range n {
			here[i] = series.Digest{Samples: rng.Uint64N(3)}
			there[i] = series.Digest{Samples: rng.Uint64N(3)}
		}
		times := make([]int, n)
		for _, s := range fetches(q, here, there, 4) {
			for i, shard := range list(q.Shards) {
				for slot := range q.slots() {
					mint, maxt := q.slot(slot)
					if s.Shards.Has(lowest(int(shard), 4)) && s.Mint <= mint && maxt <= s.Maxt {
						times[i*q.slots()+slot]++
					}
				}
			}
		}
		for i := range n {
			want := 0
			if there[i].Samples > 0 && there[i] != here[i] {
				want = 1
			}
			require.Equal(t, want, times[i])
		}
	}
}
