package stream

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

var errCut = errors.New("connection was cut")

// pipe is a connection in memory. Each direction holds a few messages.
type pipe struct {
	ways    [2]chan []byte // to the receiver, to the sender
	ends    [2]chan struct{}
	once    [2]sync.Once
	local   [2]chan struct{} // Nothing is read there any more.
	closer  [2]sync.Once
	cut     chan struct{}
	cutter  sync.Once
	stalled atomic.Bool // Nothing gets through any more.
	// fault is asked before each message of a direction; false cuts the connection.
	fault func(way int, msg []byte) bool
}

func newPipe(fault func(way int, msg []byte) bool) *pipe {
	p := &pipe{cut: make(chan struct{}), fault: fault}
	for i := range p.ways {
		p.ways[i], p.ends[i], p.local[i] = make(chan []byte, 4), make(chan struct{}), make(chan struct{})
	}
	return p
}

func (p *pipe) sever() { p.cutter.Do(func() { close(p.cut) }) }

// end is one end of a pipe: end 0 sends on way 0.
type end struct {
	*pipe
	way int
}

func (e end) Send(msg []byte) error {
	if e.fault != nil && !e.fault(e.way, msg) {
		e.sever()
	}
	ways := e.ways[e.way]
	if e.stalled.Load() {
		ways = nil
	}
	select {
	case <-e.cut:
		return errCut
	default:
	}
	select {
	case <-e.cut:
		return errCut
	case <-e.local[e.way]:
		return errCut
	case ways <- slices.Clone(msg):
		return nil
	}
}

func (e end) Recv(dst []byte) ([]byte, error) {
	select {
	case <-e.cut:
		return dst, errCut
	case <-e.local[e.way]:
		return dst, errCut
	case msg := <-e.ways[1-e.way]:
		return append(dst[:0], msg...), nil
	case <-e.ends[1-e.way]:
		select {
		case msg := <-e.ways[1-e.way]:
			return append(dst[:0], msg...), nil
		default:
			return dst, io.EOF
		}
	}
}

func (e end) CloseSend() error {
	e.once[e.way].Do(func() { close(e.ends[e.way]) })
	return nil
}

// Close breaks the connection, unless this end has closed in order: what was sent before is still
// read.
func (e end) Close() {
	e.closer[e.way].Do(func() { close(e.local[e.way]) })
	select {
	case <-e.ends[e.way]:
	default:
		e.sever()
	}
}

// network connects a sender to the receiver of the moment.
type network struct {
	mu struct {
		sync.Mutex
		receiver *Receiver
		pipes    []*pipe
		errs     []error // of Serve
	}
	// fault is for the connection of that number.
	fault  func(conn, way int, msg []byte) bool
	served sync.WaitGroup
	silent atomic.Bool // New connections get nothing through.
}

func (n *network) set(r *Receiver) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.receiver = r
	for _, p := range n.mu.pipes {
		p.sever()
	}
}

func (n *network) open(ctx context.Context) (OutConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.receiver == nil {
		return nil, errors.New("connection refused")
	}
	var fault func(int, []byte) bool
	if n.fault != nil {
		conn := len(n.mu.pipes)
		fault = func(way int, msg []byte) bool { return n.fault(conn, way, msg) }
	}
	p := newPipe(fault)
	p.stalled.Store(n.silent.Load())
	n.mu.pipes = append(n.mu.pipes, p)
	r := n.mu.receiver
	n.served.Go(func() {
		// An end in order leaves nothing that ctx could be for.
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(ctx, p.sever)()
		err := r.Serve(ctx, testNode, end{p, 1})
		p.sever()
		n.mu.Lock()
		defer n.mu.Unlock()
		n.mu.errs = append(n.mu.errs, err)
	})
	return end{p, 0}, nil
}

func (n *network) connections() []*pipe {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.mu.pipes)
}
