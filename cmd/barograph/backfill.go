package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/alecthomas/kingpin/v2"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/barograph-db/barograph/ruler/rules"
)

// backfill evaluates recording rules over the past.
//
//	time ──────────────────────────────────────────────►
//	      │ window 1               │ window 2     ...
//	      │ rule 1: query, write   │ rule 1
//	      │ rule 2: query, write   │ rule 2
//
// All rules are done for one window before any is for the next, so that each finds what those before it
// have written, and all that was written before. What it does not find is what it, or a later rule,
// writes within the window.
type backfill struct {
	target
	start, end string
	step       string
	namespace  string
	window     time.Duration
	files      []string

	node     *rulesNode
	progress *progress
	samples  int64
}

func rulesBackfillCommand(parent *kingpin.CmdClause) command {
	clause := parent.Command("backfill", "Evaluate recording rules over the past, and write what comes of them.")
	b := &backfill{}
	b.register(clause)
	clause.Flag("start", "First time: RFC 3339 or seconds since 1970.").Required().PlaceHolder("TIME").StringVar(&b.start)
	clause.Flag("end", "Time at which to end, which is not itself evaluated. Default: now.").PlaceHolder("TIME").StringVar(&b.end)
	clause.Flag("step", "Interval of all groups. Default: each group's own.").PlaceHolder("DURATION").StringVar(&b.step)
	clause.Flag("namespace", "Namespace of the groups on the server: the path of the rule file there, or that of the rule API. "+
		"The times of evaluations hang on it. Default: the file as given.").StringVar(&b.namespace)
	clause.Flag("window", "How much time is asked for at once.").Default("2h").DurationVar(&b.window)
	clause.Arg("file", "Rule files.").Required().StringsVar(&b.files)
	return command{clause: clause, run: b.run}
}

// maxSteps of one request; servers allow 11,000.
const maxSteps = 10_000

func (b *backfill) run(s streams) error {
	from, to, err := b.bounds(time.Now())
	if err != nil {
		return err
	}
	groups, err := b.groups(s)
	if err != nil {
		return err
	}
	if b.node, err = newRulesNode(&b.target); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b.progress = &progress{start: time.Now(), text: func(n int64) string { return fmt.Sprint(n, " evaluations") }}
	for _, g := range groups {
		b.progress.total += int64(len(g.rules)) * g.steps(from, to)
	}
	endBar := b.progress.show(s.err)
	reached, err := b.all(ctx, groups, from, to)
	endBar()
	fmt.Fprintf(s.out, "wrote %d samples of %d evaluations in %s\n", b.samples, b.progress.sent.Load(), time.Since(b.progress.start).Round(time.Millisecond))
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		return fmt.Errorf("backfill: %w; go on with --start=%s", err, time.UnixMilli(reached).UTC().Format(time.RFC3339Nano))
	}
	return nil
}

// bounds are the first time and that at which to end, in milliseconds since 1970.
func (b *backfill) bounds(now time.Time) (from, to int64, err error) {
	start, err := parseTime("start", b.start, now)
	if err != nil {
		return 0, 0, err
	}
	end, err := parseTime("end", b.end, now)
	if err != nil {
		return 0, 0, err
	}
	switch {
	case !start.Before(end):
		return 0, 0, errors.New("--start is not before --end")
	case b.window < time.Second:
		return 0, 0, errors.New("--window is below 1s")
	}
	return start.UnixMilli(), end.UnixMilli(), nil
}

// groups reads the files, and leaves out what is not to be evaluated.
func (b *backfill) groups(s streams) (out []*pastGroup, err error) {
	var step model.Duration
	if b.step != "" {
		if step, err = parseStep(b.step); err != nil {
			return nil, err
		}
	}
	for _, path := range b.files {
		namespace := b.namespace
		if namespace == "" {
			namespace = path
		}
		groups, err := readRuleFile(path, namespace)
		if err != nil {
			printRuleErrors(s, path, err)
			return nil, errSilent
		}
		for _, g := range groups {
			if step != 0 {
				g.Interval = time.Duration(step)
			}
			past := &pastGroup{Group: g}
			for i := range g.Rules {
				if r := &g.Rules[i]; r.Kind == rules.Alerting {
					fmt.Fprintf(s.err, "barograph: note: %s: the alerting rule %s is left out\n", path, r.Name)
				} else {
					past.rules = append(past.rules, &pastRule{Rule: r})
				}
			}
			b.window = min(b.window, maxSteps*g.Interval)
			out = append(out, past)
		}
	}
	return out, nil
}

func parseStep(s string) (model.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 0.001 && f < 1e9 {
		return model.Duration(f * float64(time.Second)), nil
	}
	d, err := model.ParseDuration(s)
	if err != nil || time.Duration(d) < time.Millisecond {
		return 0, fmt.Errorf("--step: %q is not a duration (like 15s)", s)
	}
	return d, nil
}

// all evaluates one window after the other. It returns the beginning of the one that it did not end.
func (b *backfill) all(ctx context.Context, groups []*pastGroup, from, to int64) (reached int64, err error) {
	for ; from < to; from += b.window.Milliseconds() {
		until := min(to, from+b.window.Milliseconds())
		for _, g := range groups {
			for _, r := range g.rules {
				if err := b.rule(ctx, g, r, from, until); err != nil {
					return from, fmt.Errorf("group %s, rule %s: %w", g.Name, r.Name, err)
				}
			}
		}
	}
	return to, nil
}

// rule evaluates a rule over a window and writes what comes of it.
func (b *backfill) rule(ctx context.Context, g *pastGroup, r *pastRule, from, until int64) error {
	steps := g.steps(from, until)
	if steps == 0 {
		return nil
	}
	w := g.looks(from, until)
	matrix, err := b.node.query(ctx, r.Expr.String(), v1.Range{
		Start: time.UnixMilli(w.first), End: time.UnixMilli(w.last), Step: g.Interval,
	})
	if err != nil {
		return err
	}
	all, err := r.series(w, matrix, g.Limit)
	if err != nil {
		return err
	}
	if err := b.node.write(ctx, all); err != nil {
		return err
	}
	for _, s := range all {
		b.samples += int64(len(s.Samples))
	}
	b.progress.sent.Add(steps)
	return nil
}
