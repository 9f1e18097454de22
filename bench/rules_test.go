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

// A group that went on, one that another node took over, one that passed a timestamp over, and one that
// stands still.
func TestPunctualCountsWhatIsDue(t *testing.T) {
	const last = "group_last_evaluation_timestamp_seconds"
	before := &ruleState{at: time.Unix(1000, 0), nodes: []map[string]float64{
		{last + "{a}": 990, last + "{b}": 995, "group_lateness_seconds_count": 7, `group_lateness_seconds_bucket{le="10.24"}`: 7, "evaluations_total{b}": 9},
		{last + "{c}": 980, last + "{d}": 985},
	}}
	after := &ruleState{at: time.Unix(1120, 0), nodes: []map[string]float64{
		{
			last + "{a}": 1110, "group_lateness_seconds_count": 11,
			`group_lateness_seconds_bucket{le="10.24"}`: 10, `group_lateness_seconds_bucket{le="40.96"}`: 11, `group_lateness_seconds_bucket{le="+Inf"}`: 11,
		},
		{
			last + "{b}": 1115, last + "{c}": 1100, last + "{d}": 985, "group_lateness_seconds_count": 7,
			`group_lateness_seconds_bucket{le="10.24"}`: 7, "evaluations_total{b}": 4,
		},
	}}
	p := punctual(before, after, 30*time.Second)
	require.Equal(t, &punctuality{due: 4 + 4 + 4 + 3, done: 11, within: 10.24, inTime: 10}, p)
	require.InDelta(t, 10.0/15, p.share(), 1e-9)
	require.InDelta(t, 4, after.grown(before, "evaluations_total"), 0)
	require.Nil(t, punctual(&ruleState{nodes: []map[string]float64{{}}}, &ruleState{nodes: []map[string]float64{{}}}, time.Second))
}
