package alert_test

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ruler/alert"
)

func TestSameLabels(t *testing.T) {
	same := []alert.Found{{Labels: labels.FromStrings("a", "b")}, {Labels: labels.FromStrings("a", "b")}}
	_, err := alert.Step(alert.Rule{}, 1, same, nil)
	require.ErrorIs(t, err, alert.ErrSameLabels)
}

func TestLimitCountsActiveAlerts(t *testing.T) {
	found := []alert.Found{{Labels: labels.FromStrings("i", "1")}, {Labels: labels.FromStrings("i", "2")}}
	two, err := alert.Step(alert.Rule{Limit: 2}, 1, found, nil)
	require.NoError(t, err)
	_, err = alert.Step(alert.Rule{Limit: 1}, 2, found, two)
	require.ErrorContains(t, err, "limit of 1 with 2 alerts")
	_, err = alert.Step(alert.Rule{Limit: 1}, 2, found[:1], two) // The resolved one does not count.
	require.NoError(t, err)
}

// After an outage nothing is resolved or set back, and what is found goes on.
func TestHold(t *testing.T) {
	r := alert.Rule{For: time.Minute}
	at := func(name string) []alert.Found { return []alert.Found{{Labels: labels.FromStrings("i", name)}} }
	alerts, err := alert.Step(r, 1_000, slices.Concat(at("fires"), at("waits")), nil)
	require.NoError(t, err)
	alerts, err = alert.Step(r, 61_000, at("fires"), alerts)
	require.NoError(t, err)
	require.Len(t, alerts, 1)
	alerts, err = alert.Step(r, 62_000, slices.Concat(at("fires"), at("waits")), alerts)
	require.NoError(t, err)
	r.Hold = true
	held, err := alert.Step(r, 9_000_000, nil, alerts)
	require.NoError(t, err)
	require.Equal(t, alerts, held)
	held, err = alert.Step(r, 9_000_000, at("waits"), held)
	require.NoError(t, err)
	require.Equal(t, []alert.State{alert.Firing, alert.Firing}, []alert.State{held[0].State, held[1].State})
	r.Hold = false
	gone, err := alert.Step(r, 9_001_000, nil, held)
	require.NoError(t, err)
	require.Equal(t, []alert.State{alert.Inactive, alert.Inactive}, []alert.State{gone[0].State, gone[1].State})
}

// What did not change is the same pointer.
func TestUnchangedIsTheSame(t *testing.T) {
	found := []alert.Found{{Labels: labels.FromStrings("i", "1"), Value: 3}}
	one, err := alert.Step(alert.Rule{}, 1, found, nil)
	require.NoError(t, err)
	two, err := alert.Step(alert.Rule{}, 2, found, one)
	require.NoError(t, err)
	require.Same(t, one[0], two[0])
	found[0].Value = 4
	three, err := alert.Step(alert.Rule{}, 3, found, two)
	require.NoError(t, err)
	require.NotSame(t, two[0], three[0])
	require.True(t, two[0].Same(three[0]))
}
