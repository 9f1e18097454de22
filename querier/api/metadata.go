package api

import (
	"cmp"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/barograph-db/barograph/storage/frame"
)

// description is one piece of metadata as the API shows it.
type description struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

func describe(m frame.Metadata) description {
	return description{Type: cmp.Or(m.Type, "unknown"), Help: m.Help, Unit: m.Unit}
}

func (a *API) metadata(r request) (answer, error) {
	limit, err := r.number("limit", -1)
	if err != nil {
		return answer{}, err
	}
	perMetric, err := r.number("limit_per_metric", -1)
	if err != nil {
		return answer{}, err
	}
	known, err := a.opts.Engine.Metadata(r.Context())
	if err != nil {
		return answer{}, err
	}
	all := slices.Clone(known)
	if a.opts.Targets.Active != nil {
		for _, t := range a.opts.Targets.Active() {
			all = append(all, t.metadata()...)
		}
	}
	found := map[string][]description{}
	for _, m := range all {
		known, seen := found[m.Metric]
		d := describe(m)
		switch {
		case r.value("metric") != "" && r.value("metric") != m.Metric,
			!seen && limit >= 0 && len(found) >= limit,
			perMetric > 0 && len(known) >= perMetric,
			slices.Contains(known, d):
			continue
		}
		found[m.Metric] = append(known, d)
	}
	return answer{data: found}, nil
}

func (a *API) queryExemplars(r request) (answer, error) {
	mint, maxt, err := r.bounds()
	if err != nil {
		return answer{}, err
	}
	if maxt < mint {
		return answer{}, failf(badData, "end timestamp must not be before start timestamp")
	}
	expr, err := a.opts.Engine.ParseExpr(r.Context(), r.value("query"))
	if err != nil {
		return answer{}, fail(badData, err)
	}
	selectors := parser.ExtractSelectors(expr)
	if len(selectors) > a.opts.MaxSelectors {
		return answer{}, failf(badData, "%d selectors in the query, at most %d are accepted", len(selectors), a.opts.MaxSelectors)
	}
	if len(selectors) == 0 {
		return answer{}, nil // As Prometheus: 204.
	}
	found, err := a.opts.Engine.Exemplars(r.Context(), mint, maxt, selectors...)
	if err != nil {
		return answer{}, err
	}
	b := labels.NewScratchBuilder(16)
	data := make(exemplarList, len(found))
	for i, s := range found {
		data[i] = exemplars{series: s.Labels.Labels(&b), list: s.Exemplars}
	}
	slices.SortFunc(data, func(x, y exemplars) int { return labels.Compare(x.series, y.series) })
	return answer{data: data}, nil
}
