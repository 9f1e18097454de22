package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// repeatAfter is how often one warning is logged: there may be one for each packet.
	repeatAfter = 10 * time.Second
	// maxWarnings that are remembered; memberlist has fewer.
	maxWarnings = 256
)

// newMemberlistLogger passes on what memberlist logs. Its errors are warnings here, since they are of
// peers that cannot be reached; what comes of that, members that die, Pool logs itself.
func newMemberlistLogger(l *slog.Logger, keyMismatches prometheus.Counter) *log.Logger {
	w := &logWriter{log: l, keyMismatches: keyMismatches}
	w.mu.said = map[string]said{}
	return log.New(w, "", 0)
}

type logWriter struct {
	log           *slog.Logger
	keyMismatches prometheus.Counter
	mu            struct {
		sync.Mutex
		said map[string]said // by what stays the same of a warning
	}
}

type said struct {
	at      time.Time
	skipped int // since then
}

func (w *logWriter) Write(line []byte) (int, error) {
	text := bytes.TrimSpace(line)
	level := slog.LevelDebug
	if rest, ok := bytes.CutPrefix(text, []byte("[ERR]")); ok {
		text, level = rest, slog.LevelWarn
	} else if i := bytes.IndexByte(text, ']'); bytes.HasPrefix(text, []byte("[")) && i > 0 {
		text = text[i+1:]
	}
	message := string(bytes.TrimPrefix(bytes.TrimSpace(text), []byte("memberlist: ")))
	if level == slog.LevelDebug {
		w.log.Debug("gossip", "message", message)
		return len(line), nil
	}
	attrs := []any{"message", message}
	if words, ok := mismatch(message); ok {
		w.keyMismatches.Inc()
		_, from, _ := strings.Cut(message, "from=")
		attrs = []any{"from", from, "reason", words}
	}
	if skipped, due := w.due(message, time.Now()); due {
		if skipped > 0 {
			attrs = append(attrs, "skipped", skipped)
		}
		w.log.Log(context.Background(), level, "gossip", attrs...)
	}
	return len(line), nil
}

// due says whether a warning is to be logged now, and how many like it were not since the last one.
func (w *logWriter) due(message string, now time.Time) (skipped int, ok bool) {
	key, _, _ := strings.Cut(message, ":")
	w.mu.Lock()
	defer w.mu.Unlock()
	last, known := w.mu.said[key]
	if known && now.Sub(last.at) < repeatAfter {
		last.skipped++
		w.mu.said[key] = last
		return 0, false
	}
	if !known && len(w.mu.said) >= maxWarnings {
		clear(w.mu.said)
	}
	w.mu.said[key] = said{at: now}
	return last.skipped, true
}
