package wire_test

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

// network opens streams to a server. Messages of the answers pass through tap, where an error breaks
// the stream; it may be nil.
type network struct {
	handlers map[string]wire.Handler
	window   int
	tap      func(n int, msg []byte) error

	running sync.WaitGroup
}

func (n *network) open(ctx context.Context, method string) (wire.ClientConn, error) {
	p := &pipe{up: make(chan []byte, 1), down: make(chan []byte, n.window), ended: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(ctx)
	n.running.Go(func() {
		defer close(p.ended)
		defer p.cancel()
		if err := n.handlers[method](p.ctx, &serverEnd{pipe: p, tap: n.tap}); !errors.Is(err, errCutInOrder) {
			p.err = err
		}
	})
	return clientEnd{p}, nil
}

type clientEnd struct{ *pipe }

func (c clientEnd) Send(msg []byte) error { return c.send(c.up, msg) }

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

func (c clientEnd) Close() { c.cancel() }

type serverEnd struct {
	*pipe
	tap  func(n int, msg []byte) error
	sent int
}

func (s *serverEnd) Send(msg []byte) error {
	if s.tap != nil {
		if err := s.tap(s.sent, msg); err != nil {
			return err
		}
	}
	s.sent++
	return s.send(s.down, msg)
}

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
