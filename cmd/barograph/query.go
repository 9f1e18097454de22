package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// question is what all query commands have in common.
type question struct {
	target  target
	expr    string
	format  string
	explain bool
	timeout time.Duration
}

func (q *question) register(clause *kingpin.CmdClause) {
	q.target.register(clause)
	clause.Flag("format", "How to print the answer: table, json or csv.").Default("table").EnumVar(&q.format, "table", "json", "csv")
	clause.Flag("explain", "Print how the answer came about: what evaluated it, which nodes read what, and what that took.").BoolVar(&q.explain)
	clause.Flag("timeout", "Longest time to wait for the answer.").Default("2m").DurationVar(&q.timeout)
	clause.Arg("expr", "PromQL expression.").Required().StringVar(&q.expr)
}

func queryInstantCommand(app *kingpin.Application) command {
	clause := queryCommand(app).Command("instant", "Ask for the value at one time.")
	q, at := &question{}, ""
	clause.Flag("time", "Time to ask for: RFC 3339 or seconds since 1970. Default: now.").PlaceHolder("TIME").StringVar(&at)
	q.register(clause)
	return command{clause: clause, run: func(s streams) error {
		t, err := parseTime("time", at, time.Now())
		if err != nil {
			return err
		}
		return q.ask(s, func(ctx context.Context, c v1.API) (model.Value, v1.Warnings, v1.Infos, error) {
			return c.Query(ctx, q.expr, t, v1.WithTimeout(q.timeout))
		})
	}}
}

func queryRangeCommand(app *kingpin.Application) command {
	clause := queryCommand(app).Command("range", "Ask for the values over a range of time.")
	q := &question{}
	var start, end, step string
	clause.Flag("start", "First time: RFC 3339 or seconds since 1970. Default: an hour before the end.").PlaceHolder("TIME").StringVar(&start)
	clause.Flag("end", "Last time. Default: now.").PlaceHolder("TIME").StringVar(&end)
	clause.Flag("step", "Time between two values, like 15s. Default: a 250th of the range.").PlaceHolder("DURATION").StringVar(&step)
	q.register(clause)
	return command{clause: clause, run: func(s streams) error {
		r, err := parseRange(start, end, step, time.Now())
		if err != nil {
			return err
		}
		return q.ask(s, func(ctx context.Context, c v1.API) (model.Value, v1.Warnings, v1.Infos, error) {
			return c.QueryRange(ctx, q.expr, r, v1.WithTimeout(q.timeout))
		})
	}}
}

// queryCommand is the parent of the query commands, defined by whichever comes first.
func queryCommand(app *kingpin.Application) *kingpin.CmdClause {
	if c := app.GetCommand("query"); c != nil {
		return c
	}
	return app.Command("query", "Ask a server.")
}

// ask sends the query and prints the answer; warnings and notes go to the error stream.
func (q *question) ask(s streams, send func(context.Context, v1.API) (model.Value, v1.Warnings, v1.Infos, error)) error {
	base, err := q.target.base()
	if err != nil {
		return err
	}
	rt, err := q.target.transport()
	if err != nil {
		return err
	}
	client, err := api.NewClient(api.Config{Address: base.String(), RoundTripper: rt})
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	explained := &explainedClient{Client: client}
	if q.explain {
		client = explained
	}
	ctx, cancel := context.WithTimeout(context.Background(), q.timeout)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	value, warnings, infos, err := send(ctx, v1.NewAPI(client))
	for _, w := range warnings {
		fmt.Fprintf(s.err, "barograph: warning: %s\n", w)
	}
	for _, i := range infos {
		fmt.Fprintf(s.err, "barograph: note: %s\n", i)
	}
	if err != nil {
		var apiErr *v1.Error
		if errors.As(err, &apiErr) {
			return fmt.Errorf("query: %s: %s", apiErr.Type, apiErr.Msg)
		}
		return fmt.Errorf("query: %w", err)
	}
	if q.explain {
		return explained.print(s, value, q.format)
	}
	return printValue(s.out, value, q.format)
}

// parseTime reads RFC 3339 or seconds since 1970; empty is the default.
func parseTime(flag, s string, def time.Time) (time.Time, error) {
	if s == "" {
		return def, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1e12 {
		return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, fmt.Errorf("--%s: %q is neither RFC 3339 nor seconds since 1970", flag, s)
	}
	return t, nil
}

func parseRange(start, end, step string, now time.Time) (v1.Range, error) {
	var r v1.Range
	var err error
	if r.End, err = parseTime("end", end, now); err != nil {
		return r, err
	}
	if r.Start, err = parseTime("start", start, r.End.Add(-time.Hour)); err != nil {
		return r, err
	}
	if r.End.Before(r.Start) {
		return r, errors.New("--end is before --start")
	}
	if step == "" {
		r.Step = max(time.Second, r.End.Sub(r.Start)/250).Truncate(time.Second)
		return r, nil
	}
	if f, err := strconv.ParseFloat(step, 64); err == nil {
		r.Step = time.Duration(f * float64(time.Second))
	} else if d, err := model.ParseDuration(step); err == nil {
		r.Step = time.Duration(d)
	}
	if r.Step < time.Millisecond {
		return r, fmt.Errorf("--step: %q is not a duration (like 15s)", step)
	}
	return r, nil
}
