package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
)

// Transport is a node's end of all connections with others.
type Transport struct {
	opts    Options
	metrics *metrics
	speaks  Versions
	methods map[string]*method
	kinds   map[string]*rawListener

	pool     pool
	accepted connSet // all that were accepted
	raws     connSet // raw ones that were dialled
	links    linkSet // those that are served
	running  atomic.Int64
	serving  sync.WaitGroup // what was accepted

	listening chan struct{} // closed when addr is set, or never will be
	addr      net.Addr
	life      struct {
		sync.Mutex
		ran     bool
		ctx     context.Context // nil while nothing may be dialled
		dialled sync.WaitGroup
	}
}

var errNotRunning = &Error{Unavailable, "this node's transport is not running"}

// New makes a Transport, which does nothing before Run.
func New(opts Options) (*Transport, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	t := &Transport{
		opts: opts, metrics: newMetrics(opts.Registerer), speaks: Spoken,
		methods: map[string]*method{}, kinds: map[string]*rawListener{},
		listening: make(chan struct{}),
	}
	t.pool.t = t
	t.pool.mu.peers = map[placement.NodeID]*peerLinks{}
	return t, nil
}

// Handle registers a method with what serves it. Both ends have to know it.
func (t *Transport) Handle(m Method, h Handler) {
	t.checkName(m.Name, t.methods[m.Name] != nil)
	if m.Class >= numClasses || m.MaxMessage < 0 {
		panic(fmt.Sprintf("rpc: method %+v", m))
	}
	if m.MaxMessage == 0 {
		m.MaxMessage = 1 << 20
	}
	t.methods[m.Name] = &method{m, h}
}

// checkName panics if a name can't be registered: the program is wrong.
func (t *Transport) checkName(name string, taken bool) {
	t.life.Lock()
	defer t.life.Unlock()
	if name == "" || len(name) > maxMethod || taken || t.life.ran {
		panic(fmt.Sprintf("rpc: %q can't be registered", name))
	}
}

// Addr is where the Transport listens, once it does. It is an error if Run has ended before.
func (t *Transport) Addr(ctx context.Context) (net.Addr, error) {
	select {
	case <-t.listening:
		if t.addr == nil {
			return nil, errNotRunning
		}
		return t.addr, nil
	case <-ctx.Done():
		return nil, contextError(ctx)
	}
}

// Run listens and serves until ctx ends, then lets requests that have arrived end, and returns when
// everything has. It runs once.
func (t *Transport) Run(ctx context.Context) error {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	t.life.Lock()
	if t.life.ran {
		t.life.Unlock()
		return errors.New("the rpc transport has run already")
	}
	t.life.ran, t.life.ctx = true, life
	t.life.Unlock()

	listener, err := t.opts.Network.Listen(ctx, t.opts.Listen)
	if err == nil {
		t.addr = listener.Addr()
		close(t.listening)
		err = t.accept(ctx, listener)
		t.endServing()
	} else {
		err = fmt.Errorf("listen for nodes: %w", err)
		close(t.listening)
	}

	t.life.Lock()
	t.life.ctx = nil
	t.life.Unlock()
	stop()
	t.raws.close()
	t.life.dialled.Wait()
	return err
}

// endServing lets the requests that have arrived end.
func (t *Transport) endServing() {
	for _, l := range t.kinds {
		_ = l.Close()
		l.drop()
	}
	t.links.each((*link).end)
	ended := make(chan struct{})
	go func() {
		t.serving.Wait()
		close(ended)
	}()
	grace := time.NewTimer(t.opts.Grace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		t.links.each(func(l *link) { l.fail(notLost, errorf(Unavailable, "%s has ended", t.opts.Identity)) })
		<-ended
	}
	t.accepted.close()
}

// start runs f, as long as connections may be dialled. Run waits for it.
func (t *Transport) start(f func(ctx context.Context)) bool {
	t.life.Lock()
	defer t.life.Unlock()
	ctx := t.life.ctx
	if ctx != nil {
		t.life.dialled.Go(func() { f(ctx) })
	}
	return ctx != nil
}

// Open begins a request to a peer. It ends with ctx, whose deadline is the handler's too. Unless
// all is received, the stream has to be closed.
func (t *Transport) Open(ctx context.Context, to Peer, method string) (ClientStream, error) {
	s, err := t.open(ctx, to, method)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openTries is how many links are tried that end just then.
const openTries = 3

func (t *Transport) open(ctx context.Context, to Peer, name string) (*stream, error) {
	m := t.methods[name]
	if m == nil {
		return nil, errorf(NotFound, "this node has no method %q", name)
	}
	if to.ID == t.opts.Identity.Node {
		return nil, errorf(Invalid, "%s was asked for over the network by this node itself", name)
	}
	for range openTries {
		l, err := t.pool.link(ctx, to, m.Class)
		if err != nil {
			return nil, err
		}
		s, err := l.open(ctx, m)
		if err != errRetired { //nolint:errorlint // It is never wrapped.
			return s, err
		}
	}
	return nil, errorf(Unavailable, "node %s: connections end as soon as they are there", to)
}

// Call sends a request of one message and returns the answer of one message.
func (t *Transport) Call(ctx context.Context, to Peer, method string, req []byte) ([]byte, error) {
	s, err := t.open(ctx, to, method)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	// To a handler that did not wait for it nothing can be sent, but it has answered.
	if err := s.send(req, writeWithNext); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := s.CloseSend(); err != nil {
		return nil, err
	}
	resp, err := s.Recv(nil)
	if errors.Is(err, io.EOF) {
		return nil, errorf(Internal, "%s of node %s answered without a message", method, to.ID)
	}
	if err != nil {
		return nil, err
	}
	if _, err := s.Recv(nil); err == nil {
		return nil, errorf(Internal, "%s of node %s answered with more than a message", method, to.ID)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return resp, nil
}

// linkSet is the links that are served.
type linkSet struct {
	mu    sync.Mutex
	links map[*link]struct{}
}

func (ls *linkSet) add(l *link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.links == nil {
		ls.links = map[*link]struct{}{}
	}
	ls.links[l] = struct{}{}
}

func (ls *linkSet) remove(l *link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.links, l)
}

// each calls f for all links, some of which may have ended.
func (ls *linkSet) each(f func(*link)) {
	ls.mu.Lock()
	all := make([]*link, 0, len(ls.links))
	for l := range ls.links {
		all = append(all, l)
	}
	ls.mu.Unlock()
	for _, l := range all {
		f(l)
	}
}
