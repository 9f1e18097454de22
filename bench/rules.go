package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// ruleRun says which rules are measured, and for how long.
type ruleRun struct {
	groups   int
	series   int
	interval time.Duration
	span     time.Duration
}

const (
	// ruleHistory is what the servers hold when rules begin: what they look back.
	ruleHistory = 5 * time.Minute
	// ruleIdle is how long the servers take data without rules, to see what that costs.
	ruleIdle = 20 * time.Second
)

// patience is how long all groups may take until each has been evaluated for the first time.
func (r *ruleRun) patience() time.Duration { return 3*r.interval + time.Minute }

// ruleLayout is the cluster that evaluates.
var ruleLayout = layout{nodes: 3, factor: 3}

// ruleResult is what was measured of a cluster or of a peer.
type ruleResult struct {
	name        string
	began       time.Time
	load        string        // averages when it began and when it was over
	idle        time.Duration // CPU time a second before there were rules
	cpu, took   time.Duration // from when each group had been evaluated once
	evaluations float64       // of rules
	failed      float64
	missed      float64 // evaluations of groups that were passed over
	given       float64 // times that groups were given to other nodes
	punctuality *punctuality
	longest     float64 // seconds that the last evaluation of any group took
	groups      []int   // of each node
}

// runRules measures one target after another with the same rules, and prints a table.
func (c *config) runRules(ctx context.Context, out io.Writer, r ruleRun) error {
	var results []*ruleResult
	for _, t := range c.targets {
		if t.name == "victoria-metrics" { // It leaves rules to another program.
			continue
		}
		res, err := c.measureRules(ctx, t, r)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		results = append(results, res)
	}
	r.print(out, results)
	return nil
}

func (c *config) measureRules(ctx context.Context, t target, r ruleRun) (*ruleResult, error) {
	dir, err := c.fresh("rules-" + t.name)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "rules.yml")
	nodes, err := c.startEvaluators(ctx, withRules(t, filepath.Join(dir, "rule*.yml")), dir)
	defer func() {
		for _, s := range nodes {
			s.stop()
		}
	}()
	if err != nil {
		return nil, err
	}
	rec, err := c.encodeLive(r)
	if err != nil {
		return nil, err
	}
	defer rec.file.Close()

	progress("%s: send %s of %d series, then go on", t.name, ruleHistory, rec.series)
	past := rec.perRound() * int(ruleHistory/c.interval)
	if err := feed(ctx, nodes, rec, 0, past); err != nil {
		return nil, err
	}
	res := &ruleResult{name: t.name + " " + version(ctx, t)}
	if t.name == "barograph" {
		res.name += ", " + ruleLayout.String()
	}
	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return feed(ctx, nodes, rec, past, len(rec.requests)) })
	g.Go(func() error {
		defer cancel()
		text := ruleFile(r.groups, max(1, rec.machines-1), r.interval) // The last machine may not be whole.
		return res.measure(ctx, nodes, r, func() error { return os.WriteFile(file, []byte(text), 0o644) })
	})
	return res, g.Wait()
}

// startEvaluators starts a cluster, or the one process of a peer.
func (c *config) startEvaluators(ctx context.Context, t target, dir string) ([]*server, error) {
	if t.name == "barograph" {
		only := *c
		only.targets = []target{t}
		return only.startCluster(ctx, ruleLayout, dir)
	}
	s, err := start(ctx, t, filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	return []*server{s}, nil
}

// measure takes the servers' time without rules, has them load the rules, and measures once each group has
// been evaluated and another interval has passed, in which a cluster deals out the groups by what they cost.
func (res *ruleResult) measure(ctx context.Context, nodes []*server, r ruleRun, write func() error) error {
	before, err := stateOfRules(ctx, nodes)
	if err != nil {
		return err
	}
	if !pause(ctx, ruleIdle) {
		return ctx.Err()
	}
	idle, err := stateOfRules(ctx, nodes)
	if err != nil {
		return err
	}
	res.idle = time.Duration(float64(idle.cpu-before.cpu) / idle.at.Sub(before.at).Seconds())
	progress("load %d rules in %d groups", r.groups*perGroup, r.groups)
	if err := write(); err != nil {
		return err
	}
	for _, s := range nodes {
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			return err
		}
	}
	if err := r.await(ctx, nodes); err != nil {
		return err
	}
	if !pause(ctx, r.interval) {
		return ctx.Err()
	}
	load := loadAverage()
	if before, err = stateOfRules(ctx, nodes); err != nil {
		return err
	}
	progress("measure for %s", r.span)
	if !pause(ctx, r.span) {
		return ctx.Err()
	}
	after, err := stateOfRules(ctx, nodes)
	if err != nil {
		return err
	}
	res.began, res.load = before.at.UTC(), load+" → "+loadAverage()
	res.compare(before, after, r)
	return nil
}

// await waits until each group has been evaluated.
func (r *ruleRun) await(ctx context.Context, nodes []*server) error {
	ctx, cancel := context.WithTimeout(ctx, r.patience())
	defer cancel()
	seen := map[string]bool{} // A group is not shown between its owners.
	for {
		s, err := stateOfRules(ctx, nodes)
		if err != nil {
			return err
		}
		s.evaluated(seen)
		if len(seen) >= r.groups {
			return nil
		}
		if !pause(ctx, time.Second) {
			return fmt.Errorf("%d of %d groups were evaluated in %s", len(seen), r.groups, r.patience())
		}
	}
}

// compare fills in what happened between two states.
func (res *ruleResult) compare(before, after *ruleState, r ruleRun) {
	res.cpu, res.took = after.cpu-before.cpu, after.at.Sub(before.at)
	res.evaluations = after.grown(before, "evaluation_duration_seconds_count")
	res.failed = after.grown(before, "evaluation_failures_total")
	res.missed = after.grown(before, "group_iterations_missed_total")
	res.given = after.grown(before, "assignments_total")
	res.punctuality = punctual(before, after, r)
	for _, values := range after.nodes {
		n := 0
		for key, v := range values {
			if strings.HasPrefix(key, "group_last_duration_seconds{") {
				res.longest = max(res.longest, v)
				n++
			}
		}
		res.groups = append(res.groups, n)
	}
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// pause waits, and returns false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// encodeLive makes requests with samples from the past until rules are measured.
func (c *config) encodeLive(r ruleRun) (*recording, error) {
	p := plan{series: r.series, perSeries: 1, interval: c.interval.Milliseconds(), batch: c.batch, conns: 1, seed: c.seed}
	p.rounds = int((ruleHistory+ruleIdle+r.patience()+r.interval+r.span)/c.interval) + 2
	p.end = time.Now().Add(-ruleHistory).UnixMilli() + int64(p.rounds)*p.interval
	return record(c.dir, p)
}

// perRound is how many requests a round of scrapes takes, of a recording without churn.
func (r *recording) perRound() int { return len(r.requests) / r.plan.rounds }

// feed sends requests to servers in turn, each when the last of its round's scrapes is over.
func feed(ctx context.Context, to []*server, rec *recording, from, until int) error {
	begin := rec.plan.end - int64(rec.plan.rounds)*rec.plan.interval
	var buf []byte
	for i := from; i < until; i++ {
		over := time.UnixMilli(begin + int64(i/rec.perRound()+1)*rec.plan.interval)
		if !pause(ctx, time.Until(over)) {
			return nil
		}
		var err error
		if buf, err = rec.body(rec.requests[i], buf); err != nil {
			return err
		}
		if err := push(ctx, to[i%len(to)], buf); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	return nil
}
