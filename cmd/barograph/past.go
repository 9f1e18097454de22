package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"

	"github.com/barograph-db/barograph/ruler/rules"
)

// pastGroup is a group that is evaluated over the past.
type pastGroup struct {
	*rules.Group
	rules []*pastRule // the recording ones
}

// steps is how often the group is evaluated from a time until before another.
func (g *pastGroup) steps(from, until int64) int64 {
	first, last := g.Next(from-1), g.At(until-1)
	return max(0, (last-first)/g.Interval.Milliseconds()+1)
}

// window is the times at which a rule's expression is asked for: all of them, a step apart.
type window struct{ first, last, step int64 }

func (g *pastGroup) looks(from, until int64) window {
	back := g.QueryOffset.Milliseconds()
	return window{g.Next(from-1) - back, g.At(until-1) - back, g.Interval.Milliseconds()}
}

// pastRule is a recording rule, and the series that it wrote at the last time that was evaluated.
type pastRule struct {
	*rules.Rule
	there map[string][]prompb.Label // by their labels as text
}

var errHistograms = errors.New("it comes to histograms, which answers of the API don't hold whole; they can't be written back")

// series makes of an answer what is to be written: the samples under the rule's name and labels, and a
// stale marker wherever a series ends, as if each time had been evaluated by itself.
func (r *pastRule) series(w window, answer model.Matrix, limit int) ([]prompb.TimeSeries, error) {
	stale := math.Float64frombits(value.StaleNaN)
	out := make([]prompb.TimeSeries, 0, len(answer))
	began, ends := map[string]bool{}, map[string][]prompb.Label{}
	seen, at := map[string]int{}, map[int64]int{}
	for _, s := range answer {
		if len(s.Histograms) > 0 {
			return nil, errHistograms
		}
		key, ls := r.named(s.Metric)
		if _, twice := seen[key]; twice {
			return nil, fmt.Errorf("several of its series come to the same labels: %s", key)
		}
		seen[key] = len(out)
		ts := prompb.TimeSeries{Labels: ls}
		for i, p := range s.Values {
			t := int64(p.Timestamp)
			if i > 0 && t-int64(s.Values[i-1].Timestamp) > w.step {
				ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: int64(s.Values[i-1].Timestamp) + w.step, Value: stale})
			}
			ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: t, Value: float64(p.Value)})
			if at[t]++; limit > 0 && at[t] > limit {
				return nil, fmt.Errorf("exceeded limit of %d", limit)
			}
		}
		if len(s.Values) > 0 {
			began[key] = int64(s.Values[0].Timestamp) == w.first
			if last := int64(s.Values[len(s.Values)-1].Timestamp); last < w.last {
				ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: last + w.step, Value: stale})
			} else {
				ends[key] = ls
			}
		}
		out = append(out, ts)
	}
	for key, ls := range r.there {
		marker := prompb.Sample{Timestamp: w.first, Value: stale}
		i, again := seen[key]
		switch {
		case began[key]:
		case again:
			out[i].Samples = slices.Insert(out[i].Samples, 0, marker)
		default:
			out = append(out, prompb.TimeSeries{Labels: ls, Samples: []prompb.Sample{marker}})
		}
	}
	r.there = ends
	return out, nil
}

// named is what a series of the answer is written as, and its labels as text.
func (r *pastRule) named(m model.Metric) (string, []prompb.Label) {
	b := labels.NewBuilder(labels.EmptyLabels())
	for name, v := range m {
		b.Set(string(name), string(v))
	}
	b.Set(model.MetricNameLabel, r.Name)
	r.Labels.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	ls := b.Labels()
	var out []prompb.Label
	ls.Range(func(l labels.Label) {
		out = append(out, prompb.Label{Name: strings.Clone(l.Name), Value: strings.Clone(l.Value)})
	})
	return ls.String(), out
}
