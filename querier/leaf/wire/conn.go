package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Conn is one request between two nodes, seen from either end. One goroutine sends at a time and one
// receives. Send waits while the other end is behind; the message is the caller's again afterwards.
type Conn interface {
	Send(msg []byte) error
	// Recv appends the next message to dst[:0]. It returns io.EOF once the handler has ended, in order,
	// and all that it has sent was received.
	Recv(dst []byte) ([]byte, error)
}

// ClientConn is the end that asks. Close ends the request unless it has ended: a Send or Recv that
// waits, and the handler's context. It may be called again.
type ClientConn interface {
	Conn
	Close()
}

// Open begins a request of a method with another node. The request ends with the context.
type Open func(ctx context.Context, method string) (ClientConn, error)

// Handler answers requests of a method. An error says that the stream is broken; all else goes to
// who asked by the stream.
type Handler func(ctx context.Context, c Conn) error

// The methods.
const (
	methodSelect    = "leaf.select"
	methodPartial   = "leaf.partial"
	methodNames     = "leaf.names"
	methodValues    = "leaf.values"
	methodExemplars = "leaf.exemplars"
	methodMetadata  = "leaf.metadata"
	methodChanges   = "leaf.changes"

	methodCardinality = "leaf.cardinality"
)

type messageKind uint8

const (
	kindPart messageKind = 1 + iota
	kindRequest
	kindBatch
	kindEnd
	kindFailure
)

const (
	maxMessage = 128 << 10
	// maxRequest is more than the longest query has in its matchers.
	maxRequest = 4 << 20
	// maxBody is more than the largest chunk, which is never cut.
	maxBody = 64 << 20
)

var (
	errCut       = errors.New("the answer was cut short")
	errMalformed = errors.New("malformed message")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// sender sends bodies of any length, as several messages where they are long.
type sender struct {
	conn    Conn
	buf     []byte
	lengths []byte
	packed  []byte
	broken  error // what became of the stream
}

// send sends a body that is in several pieces.
func (s *sender) send(kind messageKind, pieces ...[]byte) error {
	left := 0
	for _, p := range pieces {
		left += len(p)
	}
	for {
		s.buf = append(s.buf[:0], byte(kindPart))
		if left < maxMessage {
			s.buf[0] = byte(kind)
		}
		for len(pieces) > 0 && len(s.buf) < maxMessage {
			n := min(len(pieces[0]), maxMessage-len(s.buf))
			s.buf = append(s.buf, pieces[0][:n]...)
			if pieces[0] = pieces[0][n:]; len(pieces[0]) == 0 {
				pieces = pieces[1:]
			}
			left -= n
		}
		if s.broken = s.conn.Send(s.buf); s.broken != nil {
			return s.broken
		}
		if messageKind(s.buf[0]) == kind {
			return nil
		}
	}
}

// receive returns the next body, in memory of its own. take is asked for each message before it is
// kept, and may be nil.
func receive(c Conn, most int, take func(int64) error) (messageKind, []byte, error) {
	var whole []byte
	for {
		msg, err := c.Recv(nil)
		switch {
		case errors.Is(err, io.EOF):
			return 0, nil, errCut
		case err != nil:
			return 0, nil, err
		case len(msg) == 0:
			return 0, nil, malformed("empty")
		case len(whole)+len(msg) > most:
			return 0, nil, malformed("more than %d bytes", most)
		}
		if take != nil {
			if err := take(int64(len(msg))); err != nil {
				return 0, nil, err
			}
		}
		kind, body := messageKind(msg[0]), msg[1:]
		if kind != kindPart && whole == nil {
			return kind, body, nil
		}
		whole = append(whole, body...)
		if kind != kindPart {
			return kind, whole, nil
		}
	}
}
