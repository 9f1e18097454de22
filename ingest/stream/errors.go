package stream

import (
	"errors"
	"fmt"
)

var (
	// ErrDown refuses or fails a frame because the peer can't be reached.
	ErrDown = errors.New("peer can't be reached")
	// ErrFull refuses a frame because too much is pending at this peer.
	ErrFull = errors.New("too much is pending at the peer")
	// ErrSlow refuses a frame because others wait for the peer for too long.
	ErrSlow = errors.New("peer is slow to answer")
	// ErrTimeout fails a frame that the peer did not answer in time. It may have it.
	ErrTimeout = errors.New("peer did not answer in time")
	// ErrTooLarge fails a frame of which a part is too large for a message, or an index for a stream.
	ErrTooLarge = errors.New("frame is too large for a stream")
	// ErrTries fails a frame that was sent several times and came back each time, or broke the stream.
	ErrTries = errors.New("frame was sent too often without success")
	// ErrClosed refuses or fails a frame because the sender has ended.
	ErrClosed = errors.New("sender has ended")

	errMessage  = errors.New("message is damaged")
	errProtocol = errors.New("peer breaks the protocol")
)

// Code says in short why a receiver took nothing of a frame. It may be sent again later.
type Code uint8

// The codes.
const (
	Unavailable Code = iota + 1 // the store can't take it
	Full                        // the disk is full
	Closing                     // the peer is going down
	Stale                       // the writer's placement is too old
	numCodes
)

// String is the code in words.
func (c Code) String() string {
	switch c {
	case Unavailable:
		return "unavailable"
	case Full:
		return "full"
	case Closing:
		return "closing"
	case Stale:
		return "stale"
	}
	return fmt.Sprintf("code(%d)", uint8(c))
}

// RefusedError fails a frame of which the peer took nothing.
type RefusedError struct {
	Code Code
	Text string
}

// Error says what the peer said.
func (e *RefusedError) Error() string { return fmt.Sprintf("peer refused (%s): %s", e.Code, e.Text) }

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMessage, fmt.Sprintf(format, args...))
}

func protocolf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errProtocol, fmt.Sprintf(format, args...))
}
