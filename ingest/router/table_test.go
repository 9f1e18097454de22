package router

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

// A stripe does what a map does, also when all begin to search at one place.
func TestStripeAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s stripe
	want := map[uint32]series.Fingerprint{}
	used := map[series.Fingerprint]uint32{}
	for n := range 20000 {
		fp := series.Fingerprint(rng.IntN(4))<<32 | series.Fingerprint(rng.IntN(200)*64)
		index, there := used[fp]
		switch grow := n/5000%2 == 0; {
		case there && (!grow || rng.IntN(4) == 0):
			s.removeLocked(fp, index)
			delete(want, index)
			delete(used, fp)
		case !there && grow:
			index = rng.Uint32N(1 << 20)
			if _, taken := want[index]; taken {
				continue
			}
			s.insertLocked(fp, index)
			want[index], used[fp] = fp, index
		}
		got, ok := s.findLocked(fp, func(i uint32) bool { return want[i] == fp })
		index, there = used[fp]
		require.Equal(t, there, ok)
		if there {
			require.Equal(t, index, got)
		}
	}
	for fp, index := range used {
		s.removeLocked(fp, index)
	}
	require.Zero(t, s.mu.used)
	require.Len(t, s.mu.slots, firstSlots)
}

func label(i int) series.Labels { return series.FromStrings("__name__", "m", "i", fmt.Sprint(i)) }

// Label sets of one fingerprint are different series.
func TestCollidingFingerprints(t *testing.T) {
	table := newTable(1000, 60)
	refs := map[series.Ref]int{}
	for i := range 50 {
		require.Zero(t, table.find(7, label(i), 1))
		ref := table.create(7, label(i), 1)
		require.Equal(t, ref, table.create(7, label(i), 1))
		refs[ref] = i
	}
	require.Len(t, refs, 50)
	for ref, i := range refs {
		require.Equal(t, ref, table.find(7, label(i), 1))
		require.Equal(t, label(i), table.labels(ref))
	}
}

func create(t testing.TB, table *table, now uint32, from, to int) []series.Ref {
	t.Helper()
	refs := make([]series.Ref, 0, to-from)
	for i := from; i < to; i++ {
		ref := table.create(label(i).Fingerprint(), label(i), now)
		require.NotZero(t, ref)
		refs = append(refs, ref)
	}
	return refs
}

// sweepAll goes on from one epoch to another.
func sweepAll(table *table, from, to uint32) (gone int) {
	for now := from; now <= to; now++ {
		gone += table.forget(now)
	}
	return gone
}

// An index that is given out anew has another generation; labels that were handed out stay.
func TestGenerations(t *testing.T) {
	const idle = 60
	table := newTable(2000, idle)
	begin := uint32(1000)
	old := create(t, table, begin, 0, 1000)
	kept := table.labels(old[3])
	table.setLocal(old[3], 77)
	require.Zero(t, table.forget(begin+idle))
	require.Zero(t, table.forget(begin+idle), "once in an epoch")
	for i := 0; i < 1000; i += 2 { // Half of them are used.
		require.Equal(t, old[i], table.find(label(i).Fingerprint(), label(i), begin+idle))
	}
	require.Equal(t, 500, sweepAll(table, begin+idle+1, begin+idle+15))
	require.Equal(t, 500, table.len())
	for i, ref := range old {
		if i%2 == 0 {
			require.Equal(t, label(i), table.labels(ref))
		} else {
			require.Nil(t, table.labels(ref))
			require.Zero(t, table.find(label(i).Fingerprint(), label(i), begin+idle))
			table.setLocal(ref, 5)
		}
	}
	fresh := create(t, table, begin+idle+15, 5000, 5500)
	indexes := map[uint32]bool{}
	for i, ref := range fresh {
		require.Less(t, ref.Index(), uint32(1000), "an index that was free")
		require.False(t, indexes[ref.Index()])
		indexes[ref.Index()] = true
		require.Equal(t, label(5000+i), table.labels(ref))
		_, c := table.cell(ref)
		require.Zero(t, c.local.Load())
		stale := series.MakeRef(ref.Index(), 1)
		require.False(t, c.is(stale))
		table.setLocal(stale, 5)
		require.Zero(t, c.local.Load())
	}
	require.Equal(t, label(3), kept)
	// All go, and so does what they took.
	require.Equal(t, 1000, sweepAll(table, begin+1000, begin+1015))
	for i := range table.stripes {
		require.Len(t, table.stripes[i].mu.slots, firstSlots)
	}
	for _, p := range *table.pages.Load() {
		require.Empty(t, p.mu.text)
	}
}

func TestRoomIsBounded(t *testing.T) {
	table := newTable(300, 60)
	create(t, table, 1000, 0, 300)
	require.Zero(t, table.create(1, label(300), 1000))
	require.NotZero(t, table.create(label(7).Fingerprint(), label(7), 1000))
	require.Equal(t, 300, sweepAll(table, 2000, 2015))
	create(t, table, 2015, 300, 600)
	require.Equal(t, 300, table.len())
	require.Len(t, *table.pages.Load(), 2)
}

// A page's text does not grow without bounds while its series come and go, in whatever order.
func TestTextIsWrittenAnew(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	p := &page{}
	want := map[uint32]series.Labels{}
	most := 0
	for n := range 50000 {
		j := rng.Uint32N(pageSeries)
		_, there := want[j]
		switch {
		case there && n%2000 > 1000: // They become few, and none at times.
			p.dropLocked(j)
			delete(want, j)
		case !there && n%2000 <= 1000:
			ls := series.FromStrings("name", strings.Repeat("x", rng.IntN(200)))
			if rng.IntN(10) == 0 {
				ls = nil
			}
			p.setLocked(j, ls)
			want[j] = ls
		}
		most = max(most, len(p.mu.text))
		if n%100 == 0 {
			for j, ls := range want {
				require.Equal(t, string(ls), string(p.labelsLocked(j)))
			}
		}
	}
	require.Less(t, most, pageSeries*210*2)
}

// Even the empty set is known.
func TestNoLabels(t *testing.T) {
	table := newTable(10, 60)
	ref := table.create(series.Labels(nil).Fingerprint(), nil, 1)
	require.Equal(t, ref, table.find(series.Labels(nil).Fingerprint(), nil, 1))
	require.NotNil(t, table.labels(ref))
}

// No series is forgotten between a use and a look at its labels, and none is taken for another.
func TestUsesAndSweepsAtOnce(t *testing.T) {
	const idle, users, each = 4, 4, 300
	table := newTable(2*users*each, idle) // What is being forgotten takes room, too.
	var clock atomic.Uint32
	clock.Store(1000)
	var wg sync.WaitGroup
	for u := range users {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(u)))
			var refs [each]series.Ref
			for range 10000 {
				i, now := rng.IntN(each), clock.Load()
				set := label(u*1000 + i)
				if refs[i] != 0 {
					_, c := table.cell(refs[i])
					c.use(now)
					fp := series.Fingerprint(c.fp.Load())
					if c.is(refs[i]) {
						if fp != set.Fingerprint() {
							t.Errorf("series %s has the fingerprint of another", set)
						}
						// Unless so much time went by that it may be idle again.
						if got := table.labels(refs[i]); string(got) != string(set) && clock.Load() < now+idle {
							t.Errorf("series %s has labels %s", set, got)
						}
						continue
					}
				}
				if refs[i] = table.create(set.Fingerprint(), set, now); refs[i] == 0 {
					t.Error("no room")
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range 1000 {
			table.forget(clock.Add(1))
		}
	})
	wg.Wait()
}
