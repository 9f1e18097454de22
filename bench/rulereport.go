package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// print writes a line for each thing that was measured.
func (r *ruleRun) print(out io.Writer, results []*ruleResult) {
	fmt.Fprintf(out, "%d rules in %d groups, every %s, over %d series; measured for %s.\n\n",
		r.groups*perGroup, r.groups, r.interval, r.series, r.span)
	head, rule := "| |", "| --- |"
	for _, res := range results {
		head, rule = head+" "+res.name+" |", rule+" ---: |"
	}
	fmt.Fprintln(out, head+"\n"+rule)
	for _, l := range []struct {
		what  string
		value func(*ruleResult) string
	}{
		{"measured from (UTC)", func(r *ruleResult) string { return r.began.Format(time.DateTime) }},
		{"load average", func(r *ruleResult) string { return r.load }},
		{"evaluations of rules", func(r *ruleResult) string { return figure(r.evaluations) }},
		{"failed", func(r *ruleResult) string { return figure(r.failed) }},
		{"evaluations of groups that were due", func(r *ruleResult) string { return r.onTime(func(p *punctuality) string { return figure(p.due) }) }},
		{"done", func(r *ruleResult) string { return r.onTime(func(p *punctuality) string { return figure(p.done) }) }},
		{"begun in time", func(r *ruleResult) string {
			return r.onTime(func(p *punctuality) string { return fmt.Sprintf("%.2f %% within %g s", 100*p.share(), p.within) })
		}},
		{"passed over", func(r *ruleResult) string { return figure(r.missed) }},
		{"longest of the groups' last evaluations, s", func(r *ruleResult) string { return figure(r.longest) }},
		{"groups of each node", func(r *ruleResult) string { return strings.Trim(fmt.Sprint(r.groups), "[]") }},
		{"times that groups were given to other nodes", func(r *ruleResult) string { return figure(r.given) }},
		{"CPU, ms/s", func(r *ruleResult) string { return figure(1000 * r.cpu.Seconds() / r.took.Seconds()) }},
		{"CPU without rules, ms/s", func(r *ruleResult) string { return figure(1000 * r.idle.Seconds()) }},
		{"CPU of an evaluation, all of it, ms", func(r *ruleResult) string { return figure(r.perEvaluation(0)) }},
		{"CPU of an evaluation, above that without rules, ms", func(r *ruleResult) string { return figure(r.perEvaluation(r.idle)) }},
	} {
		line := "| " + l.what + " |"
		for _, res := range results {
			line += " " + l.value(res) + " |"
		}
		fmt.Fprintln(out, line)
	}
}

func (res *ruleResult) onTime(text func(*punctuality) string) string {
	if res.punctuality == nil {
		return "-"
	}
	return text(res.punctuality)
}

// perEvaluation is the CPU time of the evaluation of a rule in ms, without what goes on anyway in each second.
func (res *ruleResult) perEvaluation(anyway time.Duration) float64 {
	spent := res.cpu.Seconds() - anyway.Seconds()*res.took.Seconds()
	return 1000 * spent / res.evaluations
}
