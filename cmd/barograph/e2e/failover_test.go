package e2e

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

var (
	failoverKills = flag.Int("failover.kills", 1, "how often the process that evaluates rules is killed")
	failoverEvery = flag.Duration("failover.every", 0, "time from one kill to the next, which waits until all is well again too")
)

// The first rule adds one to what it wrote a second before, or begins anew where that is missing.
const failoverRules = `
groups:
- name: tanks
  interval: 1s
  rules:
  - {record: steps, expr: (steps offset 1s) + 1 or vector(0)}
  - {record: "steps:read", expr: steps}
  - {alert: Always, expr: vector(1), for: 2s}
  - {alert: Low, expr: level < 10, for: 3s}
`

// What failoverRules come to.
const (
	ruleInterval = time.Second
	lowFor       = 3 * time.Second
	lowFiring    = 8 * time.Second
	lowAhead     = 5 * time.Second // so much earlier the levels are written
	// longestPause is how long evaluations may be late for the death of one node, or all.
	longestPause = 20 * time.Second
)

// tank is low for a while.
type tank struct {
	from, until time.Time
	known       time.Time // when the levels had been written; zero if it is not known whether they are
}

// lows has one tank after the other be low.
type lows struct {
	load  *regionLoad
	tanks []tank
}

// run writes the levels of tanks, some seconds ahead, until ctx ends.
func (l *lows) run(ctx context.Context) {
	first := time.Now().Add(lowAhead).Truncate(time.Millisecond)
	for i := 0; wait(ctx, time.Until(first.Add(time.Duration(i)*time.Second-lowAhead))); i++ {
		next := tank{from: first.Add(time.Duration(i) * time.Second)}
		next.until = next.from.Add(lowFor + lowFiring)
		l.tanks = append(l.tanks, next)
		body := tankLevels(strconv.Itoa(i), prompb.Sample{Timestamp: next.from.UnixMilli()}, prompb.Sample{Timestamp: next.until.UnixMilli(), Value: 50})
		for turn := i; !l.load.write(l.load.node(turn), body); turn++ {
			if !wait(ctx, 20*time.Millisecond) { // As a sender does that is told to come back.
				return
			}
		}
		l.tanks[i].known = time.Now()
	}
}

// wait reports whether ctx has not ended before a time has passed.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// pause is a time in which evaluations were late.
type pause struct{ from, until time.Time }

func (p pause) length() time.Duration { return p.until.Sub(p.from) }

// Three nodes evaluate rules, and the one that does so is killed, again and again, and in the end all of them
// at once, while alerts are pending, fire and are resolved: each timestamp is evaluated once, each alert is
// told of at its time, by a real Alertmanager, and none is told to have ended before it has.
func TestRulesOutliveProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("takes most of a minute")
	}
	w := newWebhook(t)
	config := ruleFiles(t, failoverRules, alertmanager(t, w))
	r := planRegion(t, 3, "--config.file="+config, "--rules.alert.resend-delay=10s")
	r.start()
	always := r.alwaysFires()
	l := &lows{load: &regionLoad{t: t}}
	l.load.nodes.Store(&r.nodes)
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	defer func() {
		stop()
		writing.Wait()
	}()
	writing.Go(func() { l.run(ctx) })
	eventually(t, time.Minute, "some are told to be low", func() bool { return len(w.heard()) >= 4 })

	var pauses []pause
	last := time.Now().Add(-*failoverEvery)
	for range *failoverKills {
		require.True(t, wait(t.Context(), time.Until(last.Add(*failoverEvery))))
		last = time.Now()
		victim := r.evaluator()
		s, err := r.status(victim)
		require.NoError(t, err)
		victim.kill()
		pauses = append(pauses, r.late(last, victim))
		r.launch(victim)
		r.ready(victim)
		eventually(t, time.Minute, "it has what it missed", r.whole)
		t.Logf("%s is killed (it leads: %t), evaluations are late for %s, and all is well after %s",
			victim.name, s.Self == s.Leader, pauses[len(pauses)-1].length(), time.Since(last))
	}

	stop()
	writing.Wait()
	last = time.Now()
	for _, n := range r.nodes {
		n.kill()
	}
	for _, n := range r.nodes {
		r.launch(n)
	}
	pauses = append(pauses, r.late(last, nil))
	t.Logf("all are killed and started, and evaluations are late for %s", pauses[len(pauses)-1].length())
	eventually(t, time.Minute, "all ends are told", func() bool {
		ended := map[string]bool{}
		for _, n := range w.heard() {
			ended[n.Labels["tank"]] = ended[n.Labels["tank"]] || n.Status == "resolved"
		}
		for i, low := range l.tanks {
			if !low.known.IsZero() && !ended[strconv.Itoa(i)] && !missed(low, pauses) {
				return false
			}
		}
		return true
	})

	for _, n := range r.nodes {
		r.ready(n)
		checkRecorded(t, newAPI(t, n.web))
	}
	require.Equal(t, always, r.alwaysFires(), "it has been firing since")
	checkHeard(t, l.tanks, w.heard(), pauses)
}

// alwaysFires waits until all nodes know that the alert fires that always does, and returns since when it is
// active.
func (r *region) alwaysFires() (since time.Time) {
	r.t.Helper()
	for i, n := range r.nodes {
		var at time.Time
		a := newAPI(r.t, n.web)
		eventually(r.t, time.Minute, n.name+" knows that it fires", func() bool {
			got, err := a.Alerts(r.t.Context())
			if err != nil {
				return false
			}
			for _, one := range got.Alerts {
				if one.Labels["alertname"] == "Always" && one.State == promv1.AlertStateFiring {
					at = one.ActiveAt
					return true
				}
			}
			return false
		})
		if i > 0 {
			require.Equal(r.t, since, at)
		}
		since = at
	}
	return since
}

// evaluator is the node that evaluates rules.
func (r *region) evaluator() (who *regionNode) {
	r.t.Helper()
	eventually(r.t, time.Minute, "a node evaluates", func() bool {
		latest := 0.0
		for _, n := range r.nodes {
			for line := range strings.Lines(r.metrics(n)) {
				if !strings.HasPrefix(line, "barograph_rule_group_last_evaluation_timestamp_seconds{") {
					continue
				}
				at, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
				if err == nil && at > latest {
					who, latest = n, at
				}
			}
		}
		return who != nil
	})
	return who
}

// late waits until the other nodes say that evaluations are on time again, which ended before.
func (r *region) late(from time.Time, victim *regionNode) pause {
	r.t.Helper()
	for _, n := range r.nodes {
		if n == victim {
			continue
		}
		a := newAPI(r.t, n.web)
		eventually(r.t, time.Minute, "evaluations are on time", func() bool {
			now := time.Now()
			v, _, _, err := a.Query(r.t.Context(), `timestamp(steps)`, now)
			if err != nil || len(v.(model.Vector)) != 1 {
				return false
			}
			at := time.UnixMilli(int64(v.(model.Vector)[0].Value * 1000))
			return at.After(from) && now.Sub(at) < 2*ruleInterval
		})
	}
	p := pause{from, time.Now()}
	if p.length() > longestPause {
		r.t.Errorf("evaluations were late for %s", p.length())
	}
	return p
}

// checkRecorded holds what rules wrote against when they had to be evaluated.
func checkRecorded(t *testing.T, a promv1.API) {
	t.Helper()
	now := time.Now()
	series := map[string][]model.SamplePair{}
	for _, name := range []string{"steps", "steps:read", `ALERTS{alertname="Always",alertstate="firing"}`} {
		v, warnings, _, err := a.Query(t.Context(), name+"[1h]", now)
		require.NoError(t, err)
		require.Empty(t, warnings)
		require.Len(t, v, 1, name)
		series[name] = v.(model.Matrix)[0].Values
		for i, s := range series[name][1:] {
			require.Equal(t, ruleInterval, s.Timestamp.Sub(series[name][i].Timestamp), "%s after %d", name, series[name][i].Timestamp)
		}
	}
	for i, s := range series["steps"] {
		require.EqualValues(t, i, s.Value, "what was counted at %d", s.Timestamp)
	}
	// The query may have come between the rules of a timestamp.
	read := series["steps:read"]
	require.InDelta(t, len(series["steps"]), len(read), 1)
	for i := range min(len(read), len(series["steps"])) {
		require.Equal(t, series["steps"][i], read[i])
	}
}

// missed reports whether evaluations were late all the while that an alert was firing. Alertmanager may hear
// of its end then before it has told of its beginning, and tells of neither.
func missed(low tank, pauses []pause) bool {
	for _, p := range pauses {
		if low.from.Add(lowFor+ruleInterval).After(p.from) && low.until.Before(p.until) {
			return true
		}
	}
	return false
}

// checkHeard holds notifications against what they had to be.
func checkHeard(t *testing.T, tanks []tank, heard []notification, pauses []pause) {
	t.Helper()
	byTank := map[string][]notification{}
	for _, n := range heard {
		byTank[n.Labels["tank"]] = append(byTank[n.Labels["tank"]], n)
	}
	require.Len(t, byTank[""], 1, "one that always fires")
	require.Equal(t, "firing", byTank[""][0].Status)

	var passed, repeats int
	var latest time.Duration
	for i, low := range tanks {
		all := byTank[strconv.Itoa(i)]
		switch {
		case low.known.IsZero():
			continue
		case missed(low, pauses) && len(all) == 0:
			passed++
			continue
		}
		what := fmt.Sprintf("tank %d, low from %s to %s: %+v", i, low.from, low.until, all)
		require.GreaterOrEqual(t, len(all), 2, what)
		repeats += len(all) - 2
		first, end := all[0], all[len(all)-1]
		require.Equal(t, "firing", first.Status, what)
		require.Equal(t, "resolved", end.Status, what)
		known := low.from
		if low.known.After(known) {
			known = low.known
		}
		for _, n := range all {
			between(t, low.from.Add(lowFor), known.Add(lowFor+ruleInterval), n.StartsAt)
			if n.Status == "resolved" {
				between(t, low.until, low.until.Add(ruleInterval), n.EndsAt)
			}
		}
		latest = max(latest, first.at.Sub(first.StartsAt), end.at.Sub(end.EndsAt))
	}
	longest := time.Duration(0)
	for _, p := range pauses {
		longest = max(longest, p.length())
	}
	t.Logf("%d alerts, %d notifications, %d of them repeats, the latest after %s; %d alerts fired only while evaluations were late",
		len(tanks), len(heard), repeats, latest, passed)
	require.LessOrEqual(t, repeats, len(pauses))
	// Alertmanager waits a moment for others of the same group.
	require.Less(t, latest, longest+2*ruleInterval)
}
