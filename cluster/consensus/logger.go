package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	// repeatAfter is how often one warning or error is logged: raft says the same of a dead peer
	// several times a second.
	repeatAfter = 10 * time.Second
	// maxMessages that are remembered; raft has fewer.
	maxMessages = 256
)

// sink passes on to slog what raft logs.
type sink struct {
	log *slog.Logger
	mu  struct {
		sync.Mutex
		said map[string]said // by message
	}
}

type said struct {
	at      time.Time
	skipped int // since then
}

func newLogger(log *slog.Logger) hclog.Logger {
	s := &sink{log: log}
	s.mu.said = map[string]said{}
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard})
	l.RegisterSink(s)
	return l
}

// Accept implements hclog.SinkAdapter.
func (s *sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	var to slog.Level
	switch {
	case level <= hclog.Debug:
		to = slog.LevelDebug
	case level == hclog.Info:
		to = slog.LevelInfo
	case level == hclog.Warn:
		to = slog.LevelWarn
	default:
		to = slog.LevelError
	}
	ctx := context.Background()
	if !s.log.Enabled(ctx, to) || closed(args) {
		return
	}
	now := time.Now()
	skipped, ok := 0, true
	if to >= slog.LevelWarn {
		skipped, ok = s.due(msg, now)
	}
	if !ok {
		return
	}
	record := slog.NewRecord(now, to, msg, 0)
	for i := 0; i+1 < len(args); i += 2 {
		record.AddAttrs(slog.Any(fmt.Sprint(args[i]), value(args[i+1])))
	}
	if skipped > 0 {
		record.AddAttrs(slog.Int("skipped", skipped))
	}
	_ = s.log.Handler().Handle(ctx, record) // As slog does.
}

// closed reports whether the message is about a listener that was closed on purpose, as at the end.
func closed(args []any) bool {
	return slices.ContainsFunc(args, func(v any) bool {
		err, ok := v.(error)
		return ok && errors.Is(err, net.ErrClosed)
	})
}

// due says whether msg is to be logged now, and how often it was not since it last was.
func (s *sink) due(msg string, now time.Time) (skipped int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.mu.said[msg]
	if known && now.Sub(last.at) < repeatAfter {
		last.skipped++
		s.mu.said[msg] = last
		return 0, false
	}
	if !known && len(s.mu.said) >= maxMessages {
		clear(s.mu.said)
	}
	s.mu.said[msg] = said{at: now}
	return last.skipped, true
}

func value(v any) any {
	switch v := v.(type) {
	case hclog.Format:
		if format, ok := v[0].(string); ok {
			return fmt.Sprintf(format, v[1:]...)
		}
		return fmt.Sprint(v...)
	case error:
		return v.Error()
	case fmt.Stringer:
		return v.String()
	}
	return v
}
