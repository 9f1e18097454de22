package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ruler/rules"
)

func TestRuleFileIsRead(t *testing.T) {
	texts, err := rules.File([]byte(ruleFile(20, 3, 30*time.Second)), rules.Options{})
	require.NoError(t, err)
	require.Len(t, texts, 20)
	seen := map[string]bool{}
	for _, text := range texts {
		g, err := rules.Parse("bench", text, rules.Options{})
		require.NoError(t, err)
		require.Equal(t, 30*time.Second, g.Interval)
		require.Len(t, g.Rules, perGroup)
		for _, r := range g.Rules {
			name := r.Name + r.Labels.String()
			require.False(t, seen[name], name)
			seen[name] = true
		}
	}
}

// Of 16 evaluations of groups that were due one was late, four were not done, and a group has gone to another node.
func TestPunctualCountsWhatIsDue(t *testing.T) {
	const last = "group_last_evaluation_timestamp_seconds"
	before := &ruleState{at: time.Unix(1000, 0), nodes: []map[string]float64{
		{last + "{a}": 990, "group_lateness_seconds_count": 7, `group_lateness_seconds_bucket{le="10.24"}`: 7, "evaluations_total{b}": 9},
		{last + "{c}": 980, last + "{d}": 0},
	}}
	after := &ruleState{at: time.Unix(1120, 0), nodes: []map[string]float64{
		{
			"group_lateness_seconds_count": 12, `group_lateness_seconds_bucket{le="2.56"}`: 8, `group_lateness_seconds_bucket{le="10.24"}`: 11,
			`group_lateness_seconds_bucket{le="40.96"}`: 12, `group_lateness_seconds_bucket{le="+Inf"}`: 12,
		},
		{"group_lateness_seconds_count": 7, `group_lateness_seconds_bucket{le="10.24"}`: 7, "evaluations_total{b}": 4},
	}}
	run := ruleRun{groups: 4, interval: 30 * time.Second}
	p := punctual(before, after, run)
	require.Equal(t, &punctuality{due: 16, done: 12, within: 10.24, inTime: 11}, p)
	require.InDelta(t, 11.0/16, p.share(), 1e-9)
	require.InDelta(t, 4, after.grown(before, "evaluations_total"), 0)
	seen := map[string]bool{}
	before.evaluated(seen)
	require.Equal(t, map[string]bool{"{a}": true, "{c}": true}, seen)
	require.Nil(t, punctual(&ruleState{nodes: []map[string]float64{{}}}, &ruleState{nodes: []map[string]float64{{}}}, run))
}
