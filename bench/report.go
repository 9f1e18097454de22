package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"
)

// line is a row of the table: a figure of each target in a scenario.
type line struct {
	scenario string
	what     string
	unit     string
	value    func(r *result) float64
	more     bool    // More is better, not less.
	must     float64 // what the ratio to the better peer, or the figure if absolute, has to keep to
	absolute bool
}

var lines = []line{
	{"steady", "ingest, server CPU", "ns/sample", (*result).cpuPerSample, false, 0.3, false},
	{"steady", "peak RSS", "B/series", (*result).rssPerSeries, false, 0.6, false},
	{"steady", "written to disk, all of it", "B/sample", (*result).writtenPerSample, false, 1.0, false},
	{"steady", "query of the last hour, server CPU, geometric mean", "ms", (*result).queryMean, false, 0.4, false},
	{"steady", "first answer after kill -9", "s", (*result).restartSeconds, false, 1.0, true},
	{"steady", "acknowledged samples lost by it", "", (*result).lostSamples, false, 0, true},
	{"million", "ingest with creation, server CPU", "ns/sample", (*result).cpuPerSample, false, 0.4, false},
	{"million", "peak RSS", "B/series", (*result).rssPerSeries, false, 0.6, false},
	{"million", "first answer after kill -9", "s", (*result).restartSeconds, false, 5.0, true},
	{"million", "acknowledged samples lost by it", "", (*result).lostSamples, false, 0, true},
	{"backfill", "ingest, server CPU", "ns/sample", (*result).cpuPerSample, false, 0.5, false},
	{"day", "on disk when sealed", "B/sample", (*result).diskPerSample, false, 0.75, false},
	{"day", "query of 1, 6 and 24 hours, server CPU, geometric mean", "ms", (*result).queryMean, false, 0.4, false},
	{"day", "queries of 4 clients", "/s", func(r *result) float64 { return r.perSecond }, true, 2, false},
}

func (r *result) cpuPerSample() float64     { return float64(r.cpu) / float64(r.samples) }
func (r *result) rssPerSeries() float64     { return float64(r.peakRSS) / float64(r.series) }
func (r *result) writtenPerSample() float64 { return float64(r.written) / float64(r.samples) }
func (r *result) diskPerSample() float64    { return float64(r.onDisk) / float64(r.samples) }
func (r *result) restartSeconds() float64   { return r.restart.Seconds() }
func (r *result) lostSamples() float64      { return float64(r.lost) }

// queryMean is the geometric mean of the CPU times in ms; 0 if nothing was asked.
func (r *result) queryMean() float64 {
	if len(r.queries) == 0 {
		return 0
	}
	sum := 0.0
	for _, d := range r.queries {
		sum += math.Log(max(d.Seconds()*1000, leastMillis))
	}
	return math.Exp(sum / float64(len(r.queries)))
}

// leastMillis is what a query is taken to cost at least: below it, ticks of 10 ms say nothing.
const leastMillis = 0.1

// row is a line that was filled in.
type row struct {
	line
	values []float64 // of each target
	ratio  float64   // of the first to the best of the others
}

// row returns false where the scenario measured nothing for the line.
func (l line) row(o *outcome) (row, bool) {
	r := row{line: l, ratio: math.NaN()}
	measured := false
	best := math.NaN()
	for i, res := range o.results {
		v := l.value(res)
		measured = measured || v != 0
		r.values = append(r.values, v)
		if i > 0 && (math.IsNaN(best) || l.more && v > best || !l.more && v < best) {
			best = v
		}
	}
	if best > 0 {
		r.ratio = r.values[0] / best
	}
	return r, measured || l.absolute && o.results[0].atRisk > 0
}

// verdict says whether the line is what it must be.
func (r *row) verdict() string {
	got := r.ratio
	if r.absolute {
		got = r.values[0]
	}
	switch {
	case math.IsNaN(got):
		return ""
	case r.more && got >= r.must, !r.more && got <= r.must:
		return "yes"
	}
	return "no"
}

// demand is what must be, in words.
func (r *row) demand() string {
	sign, unit := "≤", " ×"
	if r.more {
		sign = "≥"
	}
	if r.absolute {
		if unit = ""; r.unit != "" {
			unit = " " + r.unit
		}
	}
	return sign + " " + fmt.Sprint(r.must) + unit
}

// run measures all scenarios as often as asked, and prints a table of each run and one of all.
func (c *config) run(ctx context.Context, out io.Writer, chosen []scenario, runs int) error {
	var all [][]row
	lost := int64(0)
	for n := range runs {
		var rows []row
		var outcomes []*outcome
		for i := range chosen {
			o, err := c.measure(ctx, &chosen[i])
			if err != nil {
				return fmt.Errorf("%s: %w", chosen[i].name, err)
			}
			outcomes = append(outcomes, o)
			for _, l := range lines {
				if r, ok := l.row(o); ok && l.scenario == o.scenario.name {
					rows = append(rows, r)
					progress("%s: %s: %v %s, %s to the better", r.scenario, r.what, r.values, r.unit, figure(r.ratio))
				}
			}
			lost += o.results[0].missing + o.results[0].lost
		}
		if runs > 1 {
			fmt.Fprintf(out, "### Run %d\n\n", n+1)
		}
		c.reportRun(out, outcomes, rows)
		all = append(all, rows)
	}
	if runs > 1 {
		reportAll(out, all)
	}
	if lost > 0 {
		return fmt.Errorf("%s does not hold what it acknowledged", c.targets[0].name)
	}
	return nil
}

func (c *config) reportRun(out io.Writer, outcomes []*outcome, rows []row) {
	fmt.Fprintf(out, "%s/%s, %d CPUs, %s; %d samples in a request, %d connections.\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly), c.batch, c.conns)
	for _, o := range outcomes {
		fmt.Fprintf(out, "%s: %d series (%d at a time), %d samples over %s, %d of a series in a request.\n",
			o.scenario.name, o.rec.series, o.rec.plan.series, o.rec.samples, o.scenario.span, o.rec.plan.perSeries)
	}
	head, rule := "\n| | |", "| --- | --- |"
	for _, r := range outcomes[0].results {
		head += " " + r.target + " " + r.version + " |"
		rule += " ---: |"
	}
	fmt.Fprintln(out, head+" ratio to the better | must be | is |\n"+rule+" ---: | ---: | --- |")
	for _, r := range rows {
		text := fmt.Sprintf("| %s | %s |", r.scenario, strings.TrimSuffix(r.what+", "+r.unit, ", "))
		for _, v := range r.values {
			text += " " + figure(v) + " |"
		}
		fmt.Fprintln(out, text, figure(r.ratio), "|", r.demand(), "|", r.verdict(), "|")
	}
	fmt.Fprintln(out)
	for _, o := range outcomes {
		o.reportQueries(out)
		o.reportAnswers(out)
		for _, r := range o.results {
			if r.atRisk > 0 {
				fmt.Fprintf(out, "%s: %s had acknowledged %d samples when it was killed.\n", o.scenario.name, r.target, r.atRisk)
			}
			if r.missing > 0 {
				fmt.Fprintf(out, "%s: %s does not find %d acknowledged samples.\n", o.scenario.name, r.target, r.missing)
			}
			for _, f := range r.failures {
				fmt.Fprintf(out, "%s: %s failed: %s\n", o.scenario.name, r.target, f)
			}
		}
	}
	fmt.Fprintln(out)
}

// reportQueries names the queries that cost the first target more than the best of the others.
func (o *outcome) reportQueries(out io.Writer) {
	first := o.results[0]
	if len(o.results) < 2 || len(first.queries) == 0 {
		return
	}
	worst, over := 0.0, 0
	for i, q := range questions(o.scenario, o.rec) {
		best := time.Duration(math.MaxInt64)
		for _, r := range o.results[1:] {
			best = min(best, r.queries[i])
		}
		ratio := max(first.queries[i].Seconds()*1000, leastMillis) / max(best.Seconds()*1000, leastMillis)
		worst = max(worst, ratio)
		if ratio > 1 {
			over++
			fmt.Fprintf(out, "- %s: %s takes %s ms, %s times the best of the others\n",
				q.String(), first.target, figure(first.queries[i].Seconds()*1000), figure(ratio))
		}
	}
	fmt.Fprintf(out, "%s: of %d queries %d cost %s more than the better of the others; the worst costs %s times it.\n",
		o.scenario.name, len(first.queries), over, first.target, figure(worst))
}

// reportAnswers compares everyone's answers with Prometheus'.
func (o *outcome) reportAnswers(out io.Writer) {
	i := slices.IndexFunc(o.results, func(r *result) bool { return r.target == "prometheus" })
	if i < 0 || len(o.results[i].answers) == 0 {
		return
	}
	reference, asked := o.results[i], questions(o.scenario, o.rec)
	for _, r := range o.results {
		if r == reference {
			continue
		}
		same := 0
		for i := range r.answers {
			d := differ(r.answers[i], reference.answers[i])
			if d == "" {
				same++
			} else if r.target == "barograph" {
				fmt.Fprintf(out, "- %s: %s\n", asked[i].String(), d)
			}
		}
		fmt.Fprintf(out, "%s: %d of %s's %d answers equal Prometheus' to 1e-9.\n", o.scenario.name, same, r.target, len(r.answers))
	}
}

// reportAll prints what each run has come to.
func reportAll(out io.Writer, all [][]row) {
	head, rule := "### All runs\n\n| | | must be |", "| --- | --- | ---: |"
	for n := range all {
		head += fmt.Sprintf(" run %d |", n+1)
		rule += " ---: |"
	}
	fmt.Fprintln(out, head+" is |\n"+rule+" --- |")
	for i, r := range all[0] {
		text := fmt.Sprintf("| %s | %s | %s |", r.scenario, r.what, r.demand())
		verdict := "yes"
		for _, rows := range all {
			got := rows[i].ratio
			if r.absolute {
				got = rows[i].values[0]
			}
			text += " " + figure(got) + " |"
			if rows[i].verdict() != "yes" {
				verdict = "no"
			}
		}
		fmt.Fprintln(out, text, verdict, "|")
	}
}

func figure(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case v == 0:
		return "0"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
