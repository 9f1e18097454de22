package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

type config struct {
	plan      plan
	barograph string
	targets   []target
	span      time.Duration
	interval  time.Duration
	repeat    int
	dir       string
	killAfter time.Duration
}

// result is what was measured of one target.
type result struct {
	target  string
	version string

	samples, series int64
	cpu             time.Duration // of ingest
	peakRSS         int64
	written         int64
	onDisk          int64
	missing         int64           // acknowledged, not readable
	queries         []time.Duration // CPU of each, mean over repeats
	answers         []answer
	failures        []string

	restart time.Duration // kill -9 to first answer
	lost    int64         // acknowledged before the kill, not readable after
	atRisk  int64         // acknowledged before the kill
}

func (c *config) measure(ctx context.Context, out io.Writer) error {
	c.plan.interval = c.interval.Milliseconds()
	c.plan.rounds = int(c.span / c.interval)
	c.plan.end = time.Now().UnixMilli()
	if day := 24 * time.Hour; c.span%day == 0 { // Whole days, which are sealed.
		c.plan.end = time.Now().Truncate(day).UnixMilli()
	}
	fmt.Fprintf(os.Stderr, "encoding %d series x %d scrapes\n", c.plan.series, c.plan.rounds)
	rec, err := record(c.dir, c.plan)
	if err != nil {
		return fmt.Errorf("encode requests: %w", err)
	}
	defer rec.file.Close()
	var results []*result
	for _, t := range c.targets {
		fmt.Fprintf(os.Stderr, "%s: load and query\n", t.name)
		r, err := c.measureOne(ctx, t, rec)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		if c.killAfter > 0 {
			fmt.Fprintf(os.Stderr, "%s: kill -9 under load\n", t.name)
			if err := c.measureKill(ctx, t, rec, r); err != nil {
				return fmt.Errorf("%s: kill: %w", t.name, err)
			}
		}
		results = append(results, r)
	}
	return c.report(out, rec, results)
}

func (c *config) measureOne(ctx context.Context, t target, rec *recording) (*result, error) {
	dir := filepath.Join(c.dir, t.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s, err := start(ctx, t, dir)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	r := &result{target: t.name, version: version(ctx, t), series: rec.series}
	before, err := s.usage()
	if err != nil {
		return nil, err
	}
	if _, r.samples, err = load(ctx, s, rec, c.plan.conns); err != nil {
		return nil, err
	}
	after, err := s.usage()
	if err != nil {
		return nil, err
	}
	r.cpu, r.peakRSS = after.cpu-before.cpu, after.peakRSS
	weigh, err := t.settle(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	if after, err = s.usage(); err != nil {
		return nil, err
	}
	r.written = after.written - before.written
	if r.onDisk, err = sizeOf(weigh); err != nil {
		return nil, err
	}
	if r.missing, err = c.missing(ctx, s, rec, rec.perSer); err != nil {
		return nil, fmt.Errorf("count samples: %w", err)
	}
	return r, c.askAll(ctx, s, rec, r)
}

// askAll asks every query over the last hour and over the whole span, and takes the server's CPU
// time of each.
func (c *config) askAll(ctx context.Context, s *server, rec *recording, r *result) error {
	for _, q := range queries {
		for _, w := range c.windows(rec) {
			a, err := ask(ctx, s, q, w.from, w.to, w.step) // Also warms up.
			if err != nil {
				r.failures = append(r.failures, fmt.Sprintf("%s: %v", q, err))
			}
			r.answers = append(r.answers, a)
			before, err := s.usage()
			if err != nil {
				return err
			}
			// A tick is 10 ms: ask until enough of them have passed.
			n, begin := 0, time.Now()
			var spent time.Duration
			for n < c.repeat || spent < 100*time.Millisecond && time.Since(begin) < time.Second {
				if _, err := ask(ctx, s, q, w.from, w.to, w.step); err != nil && a != nil {
					return err
				}
				n++
				after, err := s.usage()
				if err != nil {
					return err
				}
				spent = after.cpu - before.cpu
			}
			r.queries = append(r.queries, spent/time.Duration(n))
		}
	}
	return ctx.Err()
}

type window struct {
	from, to int64
	step     time.Duration
}

// windows are the last hour and the whole span. Their steps are whole intervals from a time at
// which no machine is scraped: Prometheus 2 takes a sample at the very beginning of a range in, and
// 3 leaves it out.
func (c *config) windows(rec *recording) []window {
	to := c.awayFromScrapes(rec)
	hour := window{to - time.Hour.Milliseconds(), to, c.interval}
	if c.span <= time.Hour {
		return []window{hour}
	}
	step := max(1, c.span/240/c.interval) * c.interval
	return []window{hour, {to - c.span.Milliseconds(), to, step}}
}

// awayFromScrapes returns the last time in the recording that has no scrape at its place in the
// interval, or the very last if there is none.
func (c *config) awayFromScrapes(rec *recording) int64 {
	taken := make([]bool, c.plan.interval)
	begin := c.plan.end - int64(c.plan.rounds)*c.plan.interval
	for m := range rec.machines {
		for waver := range int64(maxWaver) {
			taken[((begin+scrapeOffset(m, c.plan.interval)+waver)%c.plan.interval+c.plan.interval)%c.plan.interval] = true
		}
	}
	for back := range c.plan.interval {
		if at := rec.maxt - back; !taken[at%c.plan.interval] {
			return at
		}
	}
	return rec.maxt
}

// missing counts samples that should be readable and are not, machine by machine. Metrics are asked
// for one by one, since count_over_time drops their name.
func (c *config) missing(ctx context.Context, s *server, rec *recording, want map[string]int64) (int64, error) {
	have := map[string]int64{}
	for _, fam := range families() {
		q := fmt.Sprintf(`sum by (instance) (count_over_time(%s[%dms]))`, fam.name, rec.maxt-rec.mint+1000)
		got, err := askAt(ctx, s, q, rec.maxt)
		if err != nil {
			return 0, err
		}
		for instance := range want {
			for _, v := range got[key(map[string]string{"instance": instance})] {
				have[instance] += int64(v)
			}
		}
	}
	missing := int64(0)
	for instance, n := range want {
		missing += max(0, n-have[instance])
	}
	return missing, nil
}

func (c *config) measureKill(ctx context.Context, t target, rec *recording, r *result) error {
	dir := filepath.Join(c.dir, t.name+"-kill")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := start(ctx, t, dir)
	if err != nil {
		return err
	}
	loadCtx, cancel := context.WithTimeout(ctx, c.killAfter)
	defer cancel()
	killed := make(chan struct{})
	go func() {
		<-loadCtx.Done()
		s.kill()
		close(killed)
	}()
	// The kill is what ends the load, not the client, so that requests are cut off in the middle.
	acked, n, err := load(context.WithoutCancel(ctx), s, rec, c.plan.conns)
	if err == nil {
		cancel()
		fmt.Fprintf(os.Stderr, "%s: the load ended before the kill\n", t.name)
	}
	<-killed
	r.atRisk = n
	begin := time.Now()
	if s, err = start(ctx, t, dir); err != nil {
		return err
	}
	defer s.stop()
	if err := s.poll(ctx, "/api/v1/query?query=count(node_load1)&time="+seconds(rec.mint+60_000),
		func(code int, _ []byte) bool { return code == 200 }); err != nil {
		return err
	}
	r.restart = time.Since(begin)
	want, err := c.ackedSamples(rec, acked)
	if err != nil {
		return err
	}
	r.lost, err = c.missing(ctx, s, rec, want)
	return err
}

var errRequest = errors.New("request can't be decoded")

// ackedSamples counts the samples of the acknowledged requests by instance.
func (c *config) ackedSamples(rec *recording, acked []int) (map[string]int64, error) {
	want := map[string]int64{}
	seen := make([]int, len(acked))
	var buf []byte
	for _, q := range rec.requests {
		if seen[q.conn]++; seen[q.conn] > acked[q.conn] {
			continue
		}
		var err error
		if buf, err = rec.body(q, buf); err != nil {
			return nil, err
		}
		if err := countByInstance(want, buf); err != nil {
			return nil, err
		}
	}
	return want, nil
}
