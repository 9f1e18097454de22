package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
)

// memberlistLogger passes on what memberlist logs. Its errors are warnings here, since they are of
// peers that cannot be reached; what comes of that, members that die, Pool logs itself.
func memberlistLogger(l *slog.Logger) *log.Logger { return log.New(logWriter{l}, "", 0) }

type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(line []byte) (int, error) {
	text := bytes.TrimSpace(line)
	level := slog.LevelDebug
	if rest, ok := bytes.CutPrefix(text, []byte("[ERR]")); ok {
		text, level = rest, slog.LevelWarn
	} else if i := bytes.IndexByte(text, ']'); bytes.HasPrefix(text, []byte("[")) && i > 0 {
		text = text[i+1:]
	}
	text = bytes.TrimPrefix(bytes.TrimSpace(text), []byte("memberlist: "))
	w.log.Log(context.Background(), level, "gossip", "message", string(text))
	return len(line), nil
}
