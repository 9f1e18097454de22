package notify

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

var noon = time.Unix(1_700_000_000, 0)

// seen is an entry such as x1 (x fires, version 1) or x2! (is resolved); in the test below versions
// count up.
func seen(name string, version int, resolved bool) *entry {
	a := Alert{Labels: labels.FromStrings(labels.AlertName, name), Annotations: labels.FromStrings("version", fmt.Sprint(version)), EndsAt: noon.Add(time.Minute)}
	if resolved {
		a.EndsAt = noon.Add(-time.Minute)
	}
	return newEntry(a, noon)
}

func (e *entry) String() string {
	s := e.alert.Labels.Get(labels.AlertName) + e.alert.Annotations.Get("version")
	if e.resolved {
		s += "!"
	}
	return s
}

func show(entries []*entry) string {
	var b strings.Builder
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(e.String())
	}
	return b.String()
}

func (q *queue) String() string {
	var all []*entry
	for _, it := range q.items {
		all = append(all, it.entry)
	}
	return show(all)
}

func TestQueue(t *testing.T) {
	q := newQueue(4)
	add := func(name string, version int, resolved bool) int { return q.add(seen(name, version, resolved)) }
	add("a", 1, false)
	add("b", 1, false)
	add("a", 2, false)
	require.Equal(t, "a2 b1", q.String(), "in its place")
	add("a", 3, true)
	add("a", 4, true)
	require.Equal(t, "a2 b1 a4!", q.String())
	add("a", 5, false)
	require.Equal(t, "a2 b1 a4! a5", q.String(), "in order")
	require.Equal(t, 1, add("c", 1, false))
	require.Equal(t, "b1 a4! a5 c1", q.String())

	batch, expired := q.take(2, noon)
	require.Equal(t, "b1 a4!", show(batch))
	require.Zero(t, expired)
	add("b", 2, false)
	require.Zero(t, q.giveBack(batch))
	require.Equal(t, "a4! a5 c1 b2", q.String(), "b1 is replaced")

	batch, _ = q.take(4, noon)
	add("a", 6, true)
	add("a", 7, false)
	require.Equal(t, 2, q.giveBack(batch))
	require.Equal(t, "c1 b2 a6! a7", q.String(), "nothing is replaced, and the oldest have no room")

	batch, expired = q.take(10, noon.Add(time.Hour))
	require.Empty(t, batch)
	require.Equal(t, 4, expired)
	require.Empty(t, q.last)
}

// Whatever happens, the queue keeps within its size and the order of each alert's changes; and unless
// entries were dropped, the last that is heard of an alert is of the kind of the last that was sent.
func TestQueueRandomly(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		q := newQueue(1 + r.IntN(500))
		newest, versions := map[string]*entry{}, map[*entry]int{}
		dropped := 0
		add := func() {
			name := string(rune('a' + r.IntN(4)))
			e := seen(name, len(versions), r.IntN(2) == 0)
			newest[name], versions[e] = e, len(versions)
			dropped += q.add(e)
		}
		var out []*entry
		for range 500 {
			add()
			if r.IntN(4) > 0 {
				continue
			}
			batch, _ := q.take(r.IntN(8), noon)
			for range r.IntN(4) {
				add()
			}
			if r.IntN(2) == 0 {
				dropped += q.giveBack(batch)
			} else {
				out = append(out, batch...)
			}
			require.LessOrEqual(t, q.len(), q.size)
		}
		rest, _ := q.take(q.size, noon)
		require.Empty(t, q.last)
		last := map[string]*entry{}
		for _, e := range append(out, rest...) {
			name := e.alert.Labels.Get(labels.AlertName)
			if before := last[name]; before != nil {
				require.Less(t, versions[before], versions[e], "seed %d", seed)
			}
			last[name] = e
		}
		for name, e := range newest {
			if dropped == 0 {
				require.Equal(t, e.resolved, last[name].resolved, "seed %d", seed)
			}
		}
	}
}

func BenchmarkQueueResend(b *testing.B) {
	q := newQueue(10_000)
	var entries []*entry
	for i := range 10_000 {
		entries = append(entries, seen(fmt.Sprint(i), 0, false))
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, e := range entries {
			q.add(e)
		}
	}
}
