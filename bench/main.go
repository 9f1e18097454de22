package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	var (
		c                   config
		barograph           string
		targetList, list    string
		clusters            string
		series, perSeries   int
		span, kill, clients time.Duration
		runs                int
		ofRules             bool
		r                   ruleRun
	)
	flag.StringVar(&barograph, "barograph", "bin/barograph", "path of the barograph binary")
	flag.StringVar(&targetList, "targets", "barograph,prometheus,victoria-metrics", "what to measure")
	flag.StringVar(&list, "scenarios", "steady,million,backfill,day", "what to do with them")
	flag.StringVar(&clusters, "clusters", "", "measure clusters in place of peers, with the data of the first scenario: NODESxREPLICAS,...; 0x0 is a node on its own")
	flag.BoolVar(&ofRules, "rules", false, "measure rules on three nodes and on a Prometheus, in place of scenarios")
	flag.IntVar(&r.groups, "rules-groups", 1000, "groups of ten rules")
	flag.DurationVar(&r.interval, "rules-interval", 30*time.Second, "interval of the groups")
	flag.DurationVar(&r.span, "rules-for", 2*time.Minute, "time that rules are measured")
	flag.IntVar(&runs, "runs", 1, "times that all of it is done")
	flag.IntVar(&series, "series", 0, "live series, instead of the scenario's number")
	flag.DurationVar(&span, "span", 0, "time that the samples span, instead of the scenario's")
	flag.IntVar(&perSeries, "per-series", 0, "samples of one series in a request, instead of the scenario's number")
	flag.DurationVar(&kill, "kill-after", -1, "time under load before kill -9, instead of the scenario's; 0 is never")
	flag.DurationVar(&clients, "clients-for", -1, "time that clients ask side by side, instead of the scenario's; 0 leaves them out")
	flag.DurationVar(&c.interval, "interval", 15*time.Second, "scrape interval")
	flag.IntVar(&c.batch, "batch", 2000, "samples in a request")
	flag.IntVar(&c.conns, "connections", 4, "connections that send")
	flag.Uint64Var(&c.seed, "seed", 1, "seed of the data")
	flag.IntVar(&c.repeat, "repeat", 2, "least times that each query is asked, after once to warm up; 0 asks none")
	flag.StringVar(&c.dir, "dir", "", "folder for data; default a temporary one, removed at the end")
	flag.Parse()

	chosen, err := choose(list)
	if err != nil {
		return err
	}
	for i := range chosen {
		s := &chosen[i]
		if series > 0 {
			s.plan.series = series
		}
		if perSeries > 0 {
			s.plan.perSeries = perSeries
		}
		if span > 0 {
			s.span = span
			s.windows = slices.DeleteFunc(slices.Clone(s.windows), func(w window) bool { return w.length > span })
		}
		if kill >= 0 && s.kill > 0 {
			s.kill = kill
		}
		s.killLoaded = s.killLoaded && kill != 0
		if clients >= 0 && s.clients > 0 {
			s.clients = clients
		}
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.dir == "" {
		dir, err := os.MkdirTemp("", "barograph-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		c.dir = dir
	}
	binary, err := filepath.Abs(barograph)
	if err != nil {
		return err
	}
	if c.targets, err = targets(binary, strings.Split(targetList, ",")); err != nil {
		return err
	}
	if ofRules {
		r.series = cmp.Or(series, 5000)
		return c.runRules(ctx, os.Stdout, r)
	}
	if clusters != "" {
		all, err := layouts(clusters)
		if err != nil {
			return err
		}
		return c.runClusters(ctx, os.Stdout, &chosen[0], all)
	}
	return c.run(ctx, os.Stdout, chosen, runs)
}
