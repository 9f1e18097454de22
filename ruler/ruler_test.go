package ruler_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ruler"
)

const (
	counting = `
- name: counting
  interval: 5s
  rules:
  - record: counted
    expr: count
`
	alerting = `
- name: alerting
  interval: 5s
  rules:
  - alert: Down
    expr: down
    for: 1m
    annotations: {summary: "{{ $labels.instance }} has {{ $value }}"}
`
)

func always(v promql.Vector) func(int64) (promql.Vector, error) {
	return func(int64) (promql.Vector, error) { return v, nil }
}

// The node that evaluates is killed every 20 s, and another back. No timestamp is missing or doubled,
// and the alert fires, is sent and resolved at the right time.
func TestFailovers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(t, 3, counting, alerting)
		f.answers["count"] = func(at int64) (promql.Vector, error) { return one(float64(at)), nil }
		begin := time.Now()
		from, to := begin.Add(47*time.Second).UnixMilli(), begin.Add(199*time.Second).UnixMilli()
		f.answers["down"] = func(at int64) (promql.Vector, error) {
			if at >= from && at < to {
				return one(7), nil
			}
			return nil, nil
		}
		f.startAll()
		for round := range 15 {
			time.Sleep(17 * time.Second)
			victim := round % 3
			f.kill(victim)
			time.Sleep(3*time.Second + 500*time.Millisecond)
			f.start(victim)
		}
		time.Sleep(20 * time.Second)

		ts := f.timestamps(`{__name__="counted", instance="a"}`)
		require.Greater(t, len(ts), 60)
		for i := range ts[1:] {
			require.EqualValues(t, 5000, ts[i+1]-ts[i])
		}
		require.Less(t, time.Since(time.UnixMilli(ts[len(ts)-1])), 6*time.Second)

		told := f.told("Down")
		require.NotEmpty(t, told)
		fired := told[0].StartsAt
		require.GreaterOrEqual(t, fired, from+60_000)
		require.Less(t, fired, from+66_000)
		require.WithinDuration(t, time.UnixMilli(fired), told[0].at, 10*time.Second)
		resolvedAt, repeats := int64(0), 0
		var last time.Time
		for _, s := range told {
			require.Equal(t, fired, s.StartsAt)
			require.Equal(t, "a has 7", s.Annotations.Get("summary"))
			if s.EndsAt <= s.at.UnixMilli() {
				if resolvedAt == 0 {
					resolvedAt = s.EndsAt
					require.WithinDuration(t, time.UnixMilli(to), s.at, 11*time.Second)
				}
				require.Equal(t, resolvedAt, s.EndsAt)
				continue
			}
			require.Zero(t, resolvedAt, "it fires no more once it was resolved")
			if !last.IsZero() && s.at.Sub(last) < 50*time.Second {
				repeats++
			}
			last = s.at
		}
		require.GreaterOrEqual(t, resolvedAt, to)
		require.Less(t, resolvedAt, to+6_000)
		require.LessOrEqual(t, repeats, 15)
	})
}

// All nodes go away for a while: timers and firing alerts go on, nothing is resolved though there are
// no samples at first, and what is over is resolved after the time of grace.
func TestOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(t, 3, alerting)
		var gone atomic.Bool
		f.answers["down"] = func(int64) (promql.Vector, error) {
			if gone.Load() {
				return nil, nil
			}
			return one(1), nil
		}
		f.startAll()
		time.Sleep(90 * time.Second)
		told := f.told("Down")
		require.NotEmpty(t, told)
		for i := range f.nodes {
			f.kill(i)
		}
		time.Sleep(20 * time.Minute)
		gone.Store(true)
		f.startAll()
		time.Sleep(4 * time.Minute)
		for _, s := range f.told("Down") {
			require.Greater(t, s.EndsAt, s.at.UnixMilli(), "nothing is resolved")
			require.Equal(t, told[0].StartsAt, s.StartsAt)
		}
		require.Greater(t, len(f.told("Down")), len(told)+3, "it is told again and again")
		time.Sleep(2 * time.Minute)
		all := f.told("Down")
		require.LessOrEqual(t, all[len(all)-1].EndsAt, all[len(all)-1].at.UnixMilli())
	})
}

// A query that can't be complete changes nothing.
func TestIncompleteQueries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFleet(t, 1, counting, alerting)
		f.answers["count"] = always(one(1))
		var broken atomic.Bool
		f.answers["down"] = func(int64) (promql.Vector, error) {
			if broken.Load() {
				return nil, &ruler.Passing{Err: errNoLeader}
			}
			return one(1), nil
		}
		f.startAll()
		time.Sleep(90 * time.Second)
		broken.Store(true)
		time.Sleep(10 * time.Minute)
		for _, s := range f.told("Down") {
			require.Greater(t, s.EndsAt, s.at.UnixMilli(), "nothing is resolved")
		}
		view, _ := f.nodes[0].ledger.View()
		require.Contains(t, view.Groups[0].Rules[0].Err, errNoLeader.Error())
		require.Less(t, time.Since(time.UnixMilli(view.Groups[1].At)), 6*time.Second, "others are not delayed")
	})
}
