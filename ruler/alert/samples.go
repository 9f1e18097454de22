package alert

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Names of the series that say which alerts there are.
const (
	SeriesName      = "ALERTS"
	ForSeriesName   = "ALERTS_FOR_STATE"
	stateLabel      = "alertstate"
	millisPerSecond = 1000
)

// Sample of a series.
type Sample struct {
	Labels labels.Labels
	Value  float64
}

// Samples returns what is to be written of alerts that are pending or firing: ALERTS, with the state,
// and ALERTS_FOR_STATE, whose value is since when, in seconds since 1970. The rule's labels are
// those of its text: as in Prometheus, one whose template came to nothing is there as the template.
func Samples(name string, rule labels.Labels, alerts []*Alert) []Sample {
	var out []Sample
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, a := range alerts {
		if a.State == Inactive {
			continue
		}
		b.Reset(rule)
		a.Labels.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
		b.Set(labels.AlertName, name)
		b.Set(model.MetricNameLabel, ForSeriesName)
		since := Sample{Labels: b.Labels(), Value: float64(a.ActiveAt / millisPerSecond)}
		b.Set(model.MetricNameLabel, SeriesName)
		b.Set(stateLabel, a.State.String())
		out = append(out, Sample{Labels: b.Labels(), Value: 1}, since)
	}
	return out
}
