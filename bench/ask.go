package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// question is a query over a range. The steps are whole intervals from a time at which no machine
// is scraped: Prometheus 2 takes a sample at the very beginning of a range in, and 3 leaves it out.
type question struct {
	query    string
	from, to int64
	step     time.Duration
}

func questions(sc *scenario, rec *recording) []question {
	to := awayFromScrapes(rec)
	var qs []question
	for _, w := range sc.windows {
		for _, q := range queries {
			qs = append(qs, question{q, to - w.length.Milliseconds(), to, w.step})
		}
	}
	return qs
}

func (q *question) String() string {
	return fmt.Sprintf("`%s` over %s", q.query, time.Duration(q.to-q.from)*time.Millisecond)
}

func (q *question) form() url.Values {
	return url.Values{
		"query": {q.query}, "start": {seconds(q.from)}, "end": {seconds(q.to)}, "step": {seconds(q.step.Milliseconds())},
	}
}

// askAll asks one question after another, and takes the server's CPU time of each.
func (c *config) askAll(ctx context.Context, s *server, sc *scenario, rec *recording, r *result) error {
	for _, q := range questions(sc, rec) {
		a, err := s.query(ctx, rangePath, q.form()) // Also warms up.
		if err != nil {
			r.failures = append(r.failures, fmt.Sprintf("%s: %v", q.query, err))
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
			if _, _, err := s.ask(ctx, rangePath, q.form()); err != nil {
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
	return ctx.Err()
}

// askTogether lets clients ask all questions round and round, each from another one on, and
// returns how many were answered in a second.
func (c *config) askTogether(ctx context.Context, s *server, sc *scenario, rec *recording) (float64, error) {
	qs := questions(sc, rec)
	var answered atomic.Int64
	var g errgroup.Group
	begin := time.Now()
	for i := range askers {
		g.Go(func() error {
			for n := i * len(qs) / askers; time.Since(begin) < sc.clients; n++ {
				q := &qs[n%len(qs)]
				code, body, err := s.ask(ctx, rangePath, q.form())
				if err != nil {
					return err
				}
				if code != http.StatusOK {
					return fmt.Errorf("%s: status %d: %.200s", q, code, body)
				}
				answered.Add(1)
			}
			return nil
		})
	}
	err := g.Wait()
	return float64(answered.Load()) / time.Since(begin).Seconds(), err
}

// awayFromScrapes returns the last time in the recording that has no scrape at its place in the
// interval, or the very last if there is none.
func awayFromScrapes(rec *recording) int64 {
	taken := make([]bool, rec.plan.interval)
	begin := rec.plan.end - int64(rec.plan.rounds)*rec.plan.interval
	for m := range rec.machines {
		for waver := range int64(maxWaver) {
			taken[((begin+scrapeOffset(m, rec.plan.interval)+waver)%rec.plan.interval+rec.plan.interval)%rec.plan.interval] = true
		}
	}
	for back := range rec.plan.interval {
		if at := rec.maxt - back; !taken[at%rec.plan.interval] {
			return at
		}
	}
	return rec.maxt
}
