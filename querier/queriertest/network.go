package queriertest

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/barograph-db/barograph/querier/leaf/wire"
)

// pipe is a stream in memory. Each direction holds so many messages.
type pipe struct {
	ctx    context.Context // of the handler
	cancel context.CancelFunc
	up     chan []byte
	down   chan []byte
	ended  chan struct{} // the handler has returned
	err    error         // with this
}

var errClosed = errors.New("the stream was closed")

// ErrCutInOrder ends a stream as if all had been sent.
var ErrCutInOrder = errors.New("cut in order")

// Network opens streams to a server, in memory.
type Network struct {
	Handlers map[string]wire.Handler
	// Window is how many messages of an answer are under way at most.
	Window int
	// Tap sees each message of an answer before it is sent. An error of it breaks the stream. It may be nil.
	Tap func(n int, msg []byte) error

	running sync.WaitGroup
}

// Wait waits for all handlers to end.
func (n *Network) Wait() { n.running.Wait() }

// Open is a wire.Open.
func (n *Network) Open(ctx context.Context, method string) (wire.ClientConn, error) {
	p := &pipe{up: make(chan []byte, 1), down: make(chan []byte, n.Window), ended: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(ctx)
	n.running.Go(func() {
		defer close(p.ended)
		defer p.cancel()
		if err := n.Handlers[method](p.ctx, &serverEnd{pipe: p, tap: n.Tap}); !errors.Is(err, ErrCutInOrder) {
			p.err = err
		}
	})
	return clientEnd{p}, nil
}

type clientEnd struct{ *pipe }

// Send sends a message of the request.
func (c clientEnd) Send(msg []byte) error { return c.send(c.up, msg) }

// Recv receives a message of the answer.
func (c clientEnd) Recv([]byte) ([]byte, error) {
	select {
	case msg := <-c.down:
		return msg, nil
	case <-c.ended:
	}
	select {
	case msg := <-c.down:
		return msg, nil
	default:
	}
	if c.err != nil {
		return nil, c.err
	}
	return nil, io.EOF
}

// Close ends the request.
func (c clientEnd) Close() { c.cancel() }

type serverEnd struct {
	*pipe
	tap  func(n int, msg []byte) error
	sent int
}

// Send sends a message of the answer.
func (s *serverEnd) Send(msg []byte) error {
	if s.tap != nil {
		if err := s.tap(s.sent, msg); err != nil {
			return err
		}
	}
	s.sent++
	return s.send(s.down, msg)
}

// Recv receives a message of the request.
func (s *serverEnd) Recv([]byte) ([]byte, error) {
	select {
	case msg := <-s.up:
		return msg, nil
	case <-s.ctx.Done():
		return nil, errClosed
	}
}

func (p *pipe) send(to chan []byte, msg []byte) error {
	select {
	case to <- append([]byte(nil), msg...):
		return nil
	case <-p.ctx.Done():
		return errClosed
	}
}
