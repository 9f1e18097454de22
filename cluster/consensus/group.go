package consensus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/patience"
)

// Group is this node's part in the consensus of its region.
type Group struct {
	opts    Options
	config  *raft.Config
	metrics *metrics
	failure *failure
	store   *store
	fsm     *fsm
	layer   *layer
	disk    *patience.FS // that the store is on

	raft     atomic.Pointer[raft.Raft] // while Run runs
	caughtUp atomic.Uint64             // the term of which this node, as its leader, has applied all before it
	changed  chan struct{}             // for Changed
	news     chan struct{}             // from Raft, for watch
	places   chan struct{}             // taken by proposals under way
	setting  chan struct{}             // taken by SetServers

	founding sync.Mutex // held by Bootstrap, and while Run starts Raft

	mu struct {
		sync.Mutex
		state  runState
		next   chan struct{}  // closed at the next change
		asking sync.WaitGroup // those who wait for Raft; grows only while running
	}
}

type runState uint8

const (
	opened runState = iota
	running
	ended
)

// Open reads what the disk has into the states.
func Open(o Options) (*Group, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("options of consensus: %w", err)
	}
	g := &Group{
		opts: o, config: o.config(), metrics: newMetrics(o.Registerer), failure: newFailure(),
		changed: make(chan struct{}, 1), news: make(chan struct{}, 1),
		places: make(chan struct{}, o.MaxProposals), setting: make(chan struct{}, 1),
	}
	g.mu.next = make(chan struct{})
	g.layer = newLayer(&g.opts, g.dial)
	g.disk = patience.New(o.FS, g.stall)
	g.opts.FS = g.disk
	store, err := openStore(&g.opts, g.failure, g.metrics)
	if err != nil {
		return nil, err
	}
	g.store = store
	g.fsm = &fsm{states: o.States, max: o.MaxSnapshotBytes, store: store, failure: g.failure, changed: func() { poke(g.news) }}
	store.check = func(data []byte) error { _, err := g.fsm.check(data); return err }
	if err := g.fsm.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open consensus: %w", err), store.close())
	}
	observe(o.Registerer, g)
	return g, nil
}

// Close releases what Open took, after Run has returned.
func (g *Group) Close() error {
	g.layer.stop()
	g.disk.GiveUp()
	return g.store.close()
}

// Run takes part until ctx is done, and then hands over the leadership if it is here. It returns an
// error if it had to end before; the states stay as they are.
func (g *Group) Run(ctx context.Context) error {
	r, err := g.start()
	if errors.Is(err, errRunBefore) {
		return err
	}
	if err == nil {
		g.announce()
		g.watch(ctx, r)
		g.disk.GiveUp() // Raft can't end while its log waits.
		g.handOver(r)
	}
	g.layer.stop()
	g.mu.Lock()
	g.mu.state = ended
	g.mu.Unlock()
	if r != nil {
		g.end(r)
	}
	g.layer.served.Wait()
	g.announce()
	if err == nil {
		err = g.failure.get()
	}
	if err != nil {
		return fmt.Errorf("consensus: %w", err)
	}
	return nil
}

// start starts Raft, in a goroutine that ends if the store fails meanwhile.
func (g *Group) start() (r *raft.Raft, err error) {
	g.founding.Lock()
	defer g.founding.Unlock()
	g.mu.Lock()
	state := g.mu.state
	g.mu.state = max(state, running)
	g.mu.Unlock()
	if state != opened {
		return nil, errRunBefore
	}
	t := g.layer.transport(g.config)
	var wg sync.WaitGroup
	wg.Go(func() {
		s := halting{g.store}
		r, err = raft.NewRaft(g.config, g.fsm, s, s, g.store, t)
	})
	wg.Wait()
	if r == nil {
		return nil, errors.Join(err, g.failure.get(), t.Close())
	}
	g.raft.Store(r)
	return r, nil
}

var errRunBefore = errors.New("consensus was run before")

// handOver gives the leadership to another voter, as far as there is one.
func (g *Group) handOver(r *raft.Raft) {
	if g.failure.get() != nil || r.State() != raft.Leader {
		return
	}
	voters := 0
	for _, s := range g.Servers() {
		if s.Voter {
			voters++
		}
	}
	if voters > 1 {
		if err := r.LeadershipTransfer().Error(); err != nil {
			g.opts.Logger.Warn("leadership not handed over", "err", err)
		}
	}
}

// spawn runs f, which waits for Raft, in a goroutine.
func (g *Group) spawn(f func(*raft.Raft)) error {
	r := g.raft.Load()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.state != running || r == nil {
		return ErrClosed
	}
	g.mu.asking.Add(1)
	go func() {
		defer g.mu.asking.Done()
		f(r)
	}()
	return nil
}

// ask runs f, which waits for Raft, until it returns or ctx is done.
func (g *Group) ask(ctx context.Context, f func(*raft.Raft) error) error {
	done := make(chan error, 1)
	if err := g.spawn(func(r *raft.Raft) { done <- f(r) }); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// end takes Raft down. It forgets to answer those who wait for what it has agreed on and not yet
// handed to the fsm; so they are answered first, which takes no longer than a leader takes to see
// that nobody answers it.
func (g *Group) end(r *raft.Raft) {
	answered := make(chan struct{})
	go func() {
		g.mu.asking.Wait()
		close(answered)
	}()
	g.patience(answered)
	_ = r.Shutdown().Error() // It has none.
	g.patience(answered)
}

func (g *Group) patience(c <-chan struct{}) {
	select {
	case <-c:
	case <-time.After(4 * g.opts.LeaderLease):
	}
}

// Bootstrap founds the group with these servers, of which this node must be a voter. Founding on
// several nodes is all right if each is given the same servers. It can be called before Run and
// while that runs.
func (g *Group) Bootstrap(servers []Server) error {
	if err := validServers(servers); err != nil {
		return fmt.Errorf("found consensus: %w", err)
	}
	if s, ok := find(servers, g.opts.ID); !ok || !s.Voter {
		return fmt.Errorf("found consensus: %s is not a voter", g.opts.ID)
	}
	g.founding.Lock()
	defer g.founding.Unlock()
	g.mu.Lock()
	state := g.mu.state
	g.mu.Unlock()
	err := ErrClosed
	switch r := g.raft.Load(); {
	case state == opened:
		err = raft.BootstrapCluster(g.config, g.store, g.store, g.store, nil, toRaft(servers))
	case state == running && r != nil:
		err = r.BootstrapCluster(toRaft(servers)).Error()
	}
	switch {
	case errors.Is(err, raft.ErrCantBootstrap):
		return ErrFounded
	case err != nil:
		return fmt.Errorf("found consensus: %w", err)
	}
	return nil
}

// Servers are those of the newest configuration that this node has heard of, by ID; none before Run.
func (g *Group) Servers() []Server {
	servers, _ := g.configuration()
	return servers
}

func (g *Group) configuration() (servers []Server, index uint64) {
	r := g.raft.Load()
	if r == nil {
		return nil, 0
	}
	c := r.GetConfiguration() // Does not wait.
	if c.Error() != nil {
		return nil, 0
	}
	for _, rs := range c.Configuration().Servers {
		if s, err := fromRaft(rs); err == nil {
			servers = append(servers, s)
		}
	}
	slices.SortFunc(servers, byID)
	return servers, c.Index()
}

// Leader returns who leads, as far as this node knows.
func (g *Group) Leader() (Server, bool) {
	r := g.raft.Load()
	if r == nil {
		return Server{}, false
	}
	_, id := r.LeaderWithID()
	return g.server(id)
}

// server returns the server with an ID at its present address.
func (g *Group) server(id raft.ServerID) (Server, bool) {
	node, err := placement.ParseNodeID(string(id))
	if err != nil {
		return Server{}, false
	}
	s, known := find(g.Servers(), node)
	if addr, ok := g.opts.Address(node); ok {
		return Server{ID: node, Addr: addr, Voter: s.Voter}, true
	}
	return s, known
}

func (g *Group) dial(ctx context.Context, id raft.ServerID) (net.Conn, error) {
	s, ok := g.server(id)
	if !ok {
		return nil, fmt.Errorf("dial %s: address unknown", id)
	}
	return g.opts.Dial(ctx, s)
}

// figure reads one from Raft while it runs.
func (g *Group) figure(read func(*raft.Raft) uint64) func() float64 {
	return func() float64 {
		if r := g.raft.Load(); r != nil {
			return float64(read(r))
		}
		return 0
	}
}
