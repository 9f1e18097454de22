package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

type config struct {
	targets  []target
	interval time.Duration
	batch    int
	conns    int
	seed     uint64
	repeat   int
	dir      string
}

// result is what was measured of one target in one scenario.
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
	perSecond       float64 // queries, of all clients
	failures        []string

	restart time.Duration // kill -9 to first answer
	lost    int64         // acknowledged before the kill, not readable after
	atRisk  int64         // acknowledged before the kill
}

// outcome is the results of a scenario.
type outcome struct {
	scenario *scenario
	rec      *recording
	results  []*result // of each target
}

// encode makes the scenario's requests.
func (c *config) encode(s *scenario) (*recording, error) {
	p := s.plan
	p.interval, p.rounds = c.interval.Milliseconds(), int(s.span/c.interval)
	p.end, p.batch, p.conns, p.seed = s.end(time.Now()), c.batch, c.conns, c.seed
	progress("%s: encode %d series x %d scrapes", s.name, p.series, p.rounds)
	rec, err := record(c.dir, p)
	if err != nil {
		return nil, fmt.Errorf("encode requests: %w", err)
	}
	return rec, nil
}

// measure sends the same requests to one target after another.
func (c *config) measure(ctx context.Context, s *scenario) (*outcome, error) {
	rec, err := c.encode(s)
	if err != nil {
		return nil, err
	}
	defer rec.file.Close()
	o := &outcome{scenario: s, rec: rec}
	for _, t := range c.targets {
		progress("%s: load %s", s.name, t.name)
		r := &result{target: t.name, version: version(ctx, t), series: rec.series}
		if err := c.measureLoad(ctx, s, t, rec, r); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		if s.kill > 0 {
			progress("%s: kill -9 %s under load", s.name, t.name)
			if err := c.measureKill(ctx, s, t, rec, r); err != nil {
				return nil, fmt.Errorf("%s: kill: %w", t.name, err)
			}
		}
		o.results = append(o.results, r)
	}
	return o, nil
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}

// measureLoad is the part with a server that lives: load, weigh, ask.
func (c *config) measureLoad(ctx context.Context, sc *scenario, t target, rec *recording, r *result) error {
	dir, err := c.fresh(t.name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := start(ctx, t, dir)
	if err != nil {
		return err
	}
	defer func() { s.stop() }()
	before, err := s.usage()
	if err != nil {
		return err
	}
	var acked []int
	if acked, r.samples, err = load(ctx, []*server{s}, rec, rec.plan.conns); err != nil {
		return err
	}
	after, err := s.usage()
	if err != nil {
		return err
	}
	r.cpu, r.peakRSS = after.cpu-before.cpu, after.peakRSS
	if sc.killLoaded {
		s.kill()
		r.atRisk = r.samples
		s, err = c.revive(ctx, t, dir, rec, acked, r)
		return err
	}
	if err := t.flush(ctx, s); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if after, err = s.usage(); err != nil {
		return err
	}
	r.written = after.written - before.written
	if sc.day {
		weigh, err := t.seal(ctx, s)
		if err != nil {
			return fmt.Errorf("seal: %w", err)
		}
		if r.onDisk, err = sizeOf(weigh); err != nil {
			return err
		}
	}
	if r.missing, err = missing(ctx, s, rec, rec.perSer); err != nil {
		return fmt.Errorf("count samples: %w", err)
	}
	if c.repeat > 0 {
		if err := c.askAll(ctx, s, sc, rec, r); err != nil {
			return err
		}
	}
	if sc.clients > 0 {
		r.perSecond, err = c.askTogether(ctx, s, sc, rec)
	}
	return err
}

func (c *config) fresh(name string) (string, error) {
	dir := filepath.Join(c.dir, name)
	return dir, os.Mkdir(dir, 0o755)
}

// missing counts samples that should be readable and are not, machine by machine. Metrics are asked
// for one by one, since count_over_time drops their name.
func missing(ctx context.Context, s *server, rec *recording, want map[string]int64) (int64, error) {
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

// measureKill kills a server in the midst of its work.
func (c *config) measureKill(ctx context.Context, sc *scenario, t target, rec *recording, r *result) error {
	dir, err := c.fresh(t.name)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := start(ctx, t, dir)
	if err != nil {
		return err
	}
	loadCtx, cancel := context.WithTimeout(ctx, sc.kill)
	defer cancel()
	killed := make(chan struct{})
	go func() {
		<-loadCtx.Done()
		s.kill()
		close(killed)
	}()
	// The kill is what ends the load, not the client, so that requests are cut off in the middle.
	acked, n, err := load(context.WithoutCancel(ctx), []*server{s}, rec, rec.plan.conns)
	if err == nil {
		cancel()
		progress("%s: the load ended before the kill", t.name)
	}
	<-killed
	r.atRisk = n
	s, err = c.revive(ctx, t, dir, rec, acked, r)
	if s != nil {
		s.stop()
	}
	return err
}

// revive starts a killed server again, and looks for what it had acknowledged.
func (c *config) revive(ctx context.Context, t target, dir string, rec *recording, acked []int, r *result) (*server, error) {
	begin := time.Now()
	s, err := start(ctx, t, dir)
	if err != nil {
		return nil, err
	}
	if err := s.poll(ctx, "/api/v1/query?query=count(node_load1)&time="+seconds(rec.mint+60_000),
		func(code int, _ []byte) bool { return code == 200 }); err != nil {
		return s, err
	}
	r.restart = time.Since(begin)
	want, err := ackedSamples(rec, acked)
	if err != nil {
		return s, err
	}
	r.lost, err = missing(ctx, s, rec, want)
	return s, err
}

// ackedSamples counts the samples of the acknowledged requests by instance.
func ackedSamples(rec *recording, acked []int) (map[string]int64, error) {
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
