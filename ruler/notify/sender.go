package notify

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// sender sends what waits for one Alertmanager.
type sender struct {
	url     string
	batch   int
	metrics *senderMetrics
	logger  *slog.Logger
	target  atomic.Pointer[target]
	wake    chan struct{} // has room for one: something waits
	failing bool          // run's own: the last request failed

	mu struct {
		sync.Mutex
		queue  *queue
		closed bool
	}
}

func newSender(url string, opts *Options, m *senderMetrics) *sender {
	s := &sender{
		url: url, batch: opts.BatchSize, metrics: m, logger: opts.Logger.With("alertmanager", url),
		wake: make(chan struct{}, 1),
	}
	s.mu.queue = newQueue(opts.QueueSize)
	return s
}

// add queues alerts. It waits for nothing but other calls.
func (s *sender) add(entries []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		s.metrics.dropped[dropRemoved].Add(float64(len(entries)))
		return
	}
	s.changeLocked(func(q *queue) {
		dropped := 0
		for _, e := range entries {
			dropped += q.add(e)
		}
		s.metrics.dropped[dropFull].Add(float64(dropped))
	})
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// changeLocked keeps the metric of the length, which Alertmanagers may share, with the queue's.
func (s *sender) changeLocked(f func(q *queue)) {
	before := s.mu.queue.len()
	f(s.mu.queue)
	s.metrics.length.Add(float64(s.mu.queue.len() - before))
}

// run sends until ctx ends, and then for a short time whatever still waits.
func (s *sender) run(ctx context.Context) {
	hard, release := outlive(ctx, lastTry)
	defer release()
	defer s.close()
	for failures := 0; ctx.Err() == nil; {
		switch s.deliver(hard) {
		case idle:
			select {
			case <-s.wake:
			case <-ctx.Done():
			}
		case done:
			failures = 0
		case failed:
			failures++
			pause(ctx, backoff(failures, rand.Float64()))
		}
	}
	for hard.Err() == nil && s.deliver(hard) == done {
	}
}

// close drops what waits.
func (s *sender) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return
	}
	s.mu.closed = true
	if n := s.mu.queue.len(); n > 0 {
		s.logger.Warn("Alerts are dropped: the Alertmanager is found no more, or the node stops", "alerts", n)
		s.metrics.dropped[dropRemoved].Add(float64(n))
		s.changeLocked(func(q *queue) { *q = *newQueue(q.size) })
	}
	s.metrics.end()
}

// outcome of a request.
type outcome int

const (
	idle   outcome = iota // nothing waits
	done                  // the next can follow
	failed                // the alerts wait again
)

// deliver sends one batch.
func (s *sender) deliver(ctx context.Context) outcome {
	batch := s.take()
	if len(batch) == 0 {
		return idle
	}
	n := float64(len(batch))
	began := time.Now()
	err := s.target.Load().post(ctx, s.url, batch)
	if err == nil {
		s.metrics.latency.Observe(time.Since(began).Seconds())
		s.metrics.sent.Add(n)
		if s.failing {
			s.failing = false
			s.logger.Info("The Alertmanager takes alerts again")
		}
		return done
	}
	s.metrics.errors.Add(n)
	var refused *refusal
	if errors.As(err, &refused) {
		s.metrics.dropped[dropRefused].Add(n)
		s.logger.Error("The Alertmanager refuses alerts, which are dropped", "alerts", len(batch), "err", err)
		return done
	}
	if !s.failing {
		s.failing = true
		s.logger.Error("The Alertmanager takes no alerts; they wait and are sent again", "alerts", len(batch), "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changeLocked(func(q *queue) { s.metrics.dropped[dropFull].Add(float64(q.giveBack(batch))) })
	return failed
}

func (s *sender) take() (batch []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changeLocked(func(q *queue) {
		var expired int
		batch, expired = q.take(s.batch, time.Now())
		s.metrics.dropped[dropExpired].Add(float64(expired))
	})
	return batch
}

// backoff is how long to wait after a number of failures in a row; jitter is from 0 to 1.
func backoff(failures int, jitter float64) time.Duration {
	d := longestDelay
	if n := failures - 1; n < 10 {
		d = min(d, firstDelay<<n)
	}
	return time.Duration(float64(d) * (1 - jitter/4))
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// outlive returns a context that ends some time after ctx has.
func outlive(ctx context.Context, by time.Duration) (context.Context, func()) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	timer := time.AfterFunc(math.MaxInt64, cancel)
	stop := context.AfterFunc(ctx, func() { timer.Reset(by) })
	return hard, func() {
		stop()
		timer.Stop()
		cancel()
	}
}
