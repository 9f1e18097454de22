package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
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
		c    config
		list string
	)
	flag.StringVar(&c.barograph, "barograph", "bin/barograph", "path of the barograph binary")
	flag.StringVar(&list, "targets", "barograph,prometheus,victoria-metrics", "what to measure")
	flag.IntVar(&c.plan.series, "series", 100_000, "live series")
	flag.DurationVar(&c.span, "span", 2*time.Hour, "time that the samples span")
	flag.DurationVar(&c.interval, "interval", 15*time.Second, "scrape interval")
	flag.IntVar(&c.plan.perSeries, "per-series", 1, "samples of one series in a request; 40 is a backfill")
	flag.IntVar(&c.plan.batch, "batch", 2000, "samples in a request")
	flag.IntVar(&c.plan.conns, "connections", 4, "connections that send")
	flag.IntVar(&c.plan.churn, "churn", 40, "scrapes after which one machine in fifty is replaced; 0 is never")
	flag.Uint64Var(&c.plan.seed, "seed", 1, "seed of the data")
	flag.IntVar(&c.repeat, "repeat", 5, "times that each query is asked")
	flag.StringVar(&c.dir, "dir", "", "folder for data; default a temporary one, removed at the end")
	flag.DurationVar(&c.killAfter, "kill-after", 15*time.Second, "time under load before kill -9; 0 leaves that part out")
	flag.Parse()

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
	binary, err := filepath.Abs(c.barograph)
	if err != nil {
		return err
	}
	all, err := targets(binary)
	if err != nil {
		return err
	}
	wanted := "," + list + ","
	for _, t := range all {
		if strings.Contains(wanted, ","+t.name+",") {
			c.targets = append(c.targets, t)
		}
	}
	return c.measure(ctx, os.Stdout)
}
