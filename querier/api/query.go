package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/barograph-db/barograph/querier"
)

func (a *API) query(r request) (answer, error) {
	limit, err := r.limit()
	if err != nil {
		return answer{}, err
	}
	t, err := r.time("time", time.Now())
	if err != nil {
		return answer{}, err
	}
	return run(r, limit, func(text string, opts querier.QueryOptions) (*querier.Result, error) {
		return a.opts.Engine.Instant(r.Context(), text, t, opts)
	})
}

func (a *API) queryRange(r request) (answer, error) {
	limit, err := r.limit()
	if err != nil {
		return answer{}, err
	}
	w, err := r.window()
	if err != nil {
		return answer{}, err
	}
	return run(r, limit, func(text string, opts querier.QueryOptions) (*querier.Result, error) {
		return a.opts.Engine.Range(r.Context(), text, w, opts)
	})
}

// window are the times of a range query. How many steps are too many the engine knows.
func (r request) window() (w querier.Window, err error) {
	if w.Start, err = parseTime(r.value("start")); err != nil {
		return w, badParam("start", err)
	}
	if w.End, err = parseTime(r.value("end")); err != nil {
		return w, badParam("end", err)
	}
	if w.End.Before(w.Start) {
		return w, badParam("end", errors.New("end timestamp must not be before start time"))
	}
	if w.Step, err = parseDuration(r.value("step")); err != nil {
		return w, badParam("step", err)
	}
	// Time is counted in milliseconds: a step of less would not move.
	if w.Step < time.Millisecond {
		return w, badParam("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	return w, nil
}

// run answers with what evaluate returns for the request's other parameters.
func run(r request, limit int, evaluate func(text string, opts querier.QueryOptions) (*querier.Result, error)) (answer, error) {
	opts, err := r.queryOptions()
	if err != nil {
		return answer{}, err
	}
	text := r.value("query")
	result, err := evaluate(text, opts)
	if err != nil {
		return answer{}, queryError(err)
	}
	value, cut := truncate(result.Value, limit)
	data := queryData{value: value, explanation: result.Explanation}
	ans := answer{warnings: result.Warnings, query: text, done: result.Close}
	if cut {
		ans.warnings.Add(errTruncated)
	}
	if s := r.value("stats"); s != "" {
		data.stats = stats.NewQueryStats(result.Stats)
		if s != "true" && s != "all" {
			ans.warnings.Add(fmt.Errorf("value %q for parameter \"stats\" is deprecated and will be rejected in the next major release, use %q or %q", s, "true", "all"))
		}
	}
	ans.data = data
	return ans, nil
}

// queryError names the parameter when the text is at fault; a limit names itself.
func queryError(err error) error {
	var limit *querier.LimitError
	if classify(err) == badData && !errors.As(err, &limit) {
		return badParam("query", err)
	}
	return err
}

func (r request) queryOptions() (opts querier.QueryOptions, err error) {
	if s := r.value("timeout"); s != "" {
		if opts.Timeout, err = parseDuration(s); err != nil {
			return opts, badParam("timeout", err)
		}
		if opts.Timeout <= 0 {
			return opts, badParam("timeout", fmt.Errorf("timeout must be positive, got %s", opts.Timeout))
		}
	}
	if s := r.value("lookback_delta"); s != "" {
		if opts.LookbackDelta, err = parseDuration(s); err != nil {
			return opts, failf(badData, "error parsing lookback delta duration: %w", err)
		}
	}
	if s := r.Header.Get("X-Prometheus-Use-Start-Timestamps"); s != "" {
		use, err := strconv.ParseBool(s)
		if err != nil {
			return opts, failf(badData, "error parsing X-Prometheus-Use-Start-Timestamps header: %w", err)
		}
		opts.UseStartTimestamps = &use
	}
	opts.PerStepStats = r.value("stats") == "all"
	opts.NoCache = strings.Contains(strings.ToLower(r.Header.Get("Cache-Control")), "no-store")
	opts.Explain, err = r.boolean("explain")
	return opts, err
}

// truncate cuts a result to limit series; 0 is no limit.
func truncate(v parser.Value, limit int) (parser.Value, bool) {
	if limit == 0 {
		return v, false
	}
	switch v := v.(type) {
	case promql.Matrix:
		if len(v) > limit {
			return v[:limit], true
		}
	case promql.Vector:
		if len(v) > limit {
			return v[:limit], true
		}
	}
	return v, false
}
