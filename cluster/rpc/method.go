package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
)

// Class says which connection requests share.
type Class uint8

// The classes.
const (
	Interactive Class = iota // small and urgent: writes, questions, control
	Bulk                     // large: copies, answers that stream
	numClasses
)

func (c Class) String() string {
	switch c {
	case Interactive:
		return "interactive"
	case Bulk:
		return "bulk"
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// windows are what this node takes in of a stream before it is received, in bytes, by class.
var windows = [numClasses]uint32{Interactive: 256 << 10, Bulk: 1 << 20}

// Method is what both ends know of a request. All nodes have the same.
type Method struct {
	Name  string // at most 128 bytes, as "leaf.Select"
	Class Class
	// MaxMessage bounds a message of either direction, in bytes; default 1 MiB.
	MaxMessage int
}

// A Stream is one end of a request. One goroutine may send and one receive.
type Stream interface {
	// Send sends a message, and may keep nothing of it. It waits while the other end does not
	// receive. To a handler that has ended it is io.EOF: Recv says how.
	Send(msg []byte) error
	// Recv appends the next message to dst[:0]. It is io.EOF after the last one, if the other end has
	// ended in order.
	Recv(dst []byte) ([]byte, error)
	// CloseSend says that no more messages will be sent. A handler need not: its return says it.
	CloseSend() error
}

// ClientStream is the end of who opened it.
type ClientStream interface {
	Stream
	// Close ends the request, if it has not ended, and releases it. It may be called more than
	// once and at any time. Who has received all need not call it.
	Close()
}

// Handler serves a request. What it returns crosses to the caller as an *Error, nil as the end of
// the answer. The stream is over when it returns; ctx is when the caller gives up or is gone.
type Handler func(ctx context.Context, from Identity, s Stream) error

// Unary is the handler of a method with one message each way, as Call expects it. The request is
// the function's until it returns.
func Unary(f func(ctx context.Context, from Identity, req []byte) ([]byte, error)) Handler {
	return func(ctx context.Context, from Identity, s Stream) error {
		req, err := s.Recv(nil)
		if errors.Is(err, io.EOF) {
			return &Error{Invalid, "a request without a message"}
		}
		if err != nil {
			return err
		}
		resp, err := f(ctx, from, req)
		if err != nil {
			return err
		}
		if corked, ok := s.(*stream); ok {
			return corked.send(resp, writeWithNext) // The status goes with it.
		}
		return s.Send(resp)
	}
}

// method is a Method that was registered.
type method struct {
	Method
	handler Handler
}

// call runs the handler. A panic ends the request and not the process.
func (t *Transport) call(m *method, from Identity, s *stream) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.metrics.panics.Inc()
			t.opts.Logger.Error("rpc handler panicked", "method", m.Name, "panic", p, "stack", string(debug.Stack()))
			err = errorf(Internal, "%s panicked: %v", m.Name, p)
		}
	}()
	return m.handler(s.ctx, from, s)
}
