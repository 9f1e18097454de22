package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"

	"github.com/barograph-db/barograph/cluster/placement"
)

// How memberlist is set. See doc.go for the sums.
const (
	probeInterval  = 300 * time.Millisecond
	probeTimeout   = 150 * time.Millisecond
	suspicionMult  = 4
	gossipInterval = 100 * time.Millisecond
	retransmitMult = 8
	exchange       = 15 * time.Second // Of states, with one other node.
	leaveTimeout   = 4 * time.Second  // For some others to be told.
	streamTimeout  = 10 * time.Second // Of an exchange.
	reclaimAddress = time.Millisecond // After its death a node may be anywhere.
)

// Pool is this node's part in the cluster's gossip.
type Pool struct {
	opts    Options
	seeds   []seed
	log     *slog.Logger
	metrics *metrics
	keys    keyring
	changed chan struct{}
	rivals  chan struct{} // A rival was heard of.
	bulky   chan struct{} // There are facts to be relayed.
	queue   memberlist.TransmitLimitedQueue
	alive   atomic.Int64 // Members that live: read by queue under its lock, where p.mu must not be taken.

	// life is held while memberlist is told to leave or to end, which must not meet.
	life struct {
		sync.Mutex
		list *memberlist.Memberlist // While it runs.
		left bool
	}
	meta metadata // Complete before memberlist starts.

	mu struct {
		sync.Mutex
		members map[placement.NodeID]Member
		facts   *facts
		// unmet are nodes of which others know facts, and this one nothing else; since when.
		unmet   map[placement.NodeID]time.Time
		rivals  map[netip.AddrPort]rival
		bulky   map[factKey]Fact // To be relayed over streams.
		self    netip.AddrPort
		leaving bool
	}
}

// New returns a pool, which does nothing until Run.
func New(opts Options) (*Pool, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	p := &Pool{
		opts: opts, log: opts.Logger, metrics: newMetrics(opts.Registerer),
		changed: make(chan struct{}, 1), rivals: make(chan struct{}, 1), bulky: make(chan struct{}, 1),
		meta: metadata{
			protocol: opts.Protocol, lowest: opts.LowestProtocol, weight: opts.Weight, rpcAddr: opts.RPCAddr,
			name: opts.Name, zone: opts.Zone, region: opts.Region, software: opts.Software,
		},
	}
	if len(opts.Keys) > 0 {
		if err := p.SetKeys(opts.Keys); err != nil {
			return nil, err
		}
	}
	for _, s := range opts.Join {
		parsed, err := parseSeed(s)
		if err != nil {
			return nil, err
		}
		p.seeds = append(p.seeds, parsed)
	}
	longest := p.meta
	longest.started = 1 << 62
	longest.rpcAddr += "[0000:0000:0000:0000:0000:0000:0000:0000]"
	if _, err := longest.encode(); err != nil {
		return nil, err
	}
	p.queue.RetransmitMult = memberlist.DefaultLANConfig().RetransmitMult
	p.queue.NumNodes = func() int { return int(p.alive.Load()) }
	p.mu.members = map[placement.NodeID]Member{}
	p.mu.facts = newFacts(opts.Node)
	p.mu.unmet = map[placement.NodeID]time.Time{}
	p.mu.rivals = map[netip.AddrPort]rival{}
	p.mu.bulky = map[factKey]Fact{}
	return p, nil
}

// Run takes part in gossip until ctx ends, or until it turns out that the node's identity is
// another's. It may be called once.
func (p *Pool) Run(ctx context.Context) error {
	t, err := newTransport(ctx, &p.opts, p.metrics)
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	p.setSelf(t.self)
	list, err := p.start(t)
	if err != nil {
		return fmt.Errorf("gossip at %v: %w", t.self, err)
	}
	p.log.Info("gossip runs", "cluster", p.opts.Cluster, "node", p.opts.Node.String(), "address", t.self)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.keepJoining(ctx, list) })
	g.Go(func() error { return p.relay(ctx, list) })
	g.Go(func() error {
		<-ctx.Done()
		p.stop(list) // It ends the calls that the others wait for.
		return nil
	})
	return g.Wait()
}

// setSelf fixes where the others reach this node, and since when it is there.
func (p *Pool) setSelf(self netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.self = self
	p.meta.started = uint64(max(time.Now().UnixMilli(), 0))
	if host, port, err := net.SplitHostPort(p.meta.rpcAddr); err == nil && host == "" {
		p.meta.rpcAddr = net.JoinHostPort(self.Addr().String(), port)
	}
}

// start makes a memberlist over the transport.
func (p *Pool) start(t *transport) (*memberlist.Memberlist, error) {
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label = p.opts.Node.String(), p.opts.Cluster
	c.Transport = t
	c.ProbeInterval, c.ProbeTimeout = probeInterval, probeTimeout
	c.GossipInterval, c.RetransmitMult = gossipInterval, retransmitMult
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = suspicionMult, 1
	c.PushPullInterval = exchange
	c.TCPTimeout = streamTimeout
	c.DeadNodeReclaimTime = reclaimAddress
	c.EnableCompression = false // By LZW, which costs more than it saves in packets so small.
	c.Logger = newMemberlistLogger(p.log, p.metrics.keyMismatches)
	d := delegate{p}
	c.Delegate, c.Events, c.Alive, c.Merge, c.Conflict = d, d, d, d, d
	c.Keyring = &p.keys.ring // An empty one is plain.
	list, err := memberlist.Create(c)
	if err != nil {
		_ = t.Shutdown() // It never fails.
		return nil, err
	}
	p.life.Lock()
	defer p.life.Unlock()
	p.life.list = list
	return list, nil
}

// stop ends memberlist, once.
func (p *Pool) stop(list *memberlist.Memberlist) {
	p.life.Lock()
	defer p.life.Unlock()
	if p.life.list != nil {
		p.life.list = nil
		_ = list.Shutdown() // It never fails.
	}
}

// Leave tells the others that this node leaves, so that they do not take it for dead. Run goes on,
// to answer those who have not heard, until its context ends. It takes up to 4 s.
func (p *Pool) Leave(ctx context.Context) error {
	p.life.Lock()
	defer p.life.Unlock()
	if p.life.list == nil || p.life.left {
		return nil
	}
	p.mu.Lock()
	p.mu.leaving = true
	started := time.UnixMilli(int64(p.meta.started))
	p.mu.Unlock()
	if err := p.publish(leavingKey, []byte(leavingValue(started))); err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	timeout := leaveTimeout
	if end, ok := ctx.Deadline(); ok {
		timeout = min(timeout, max(time.Until(end), time.Millisecond))
	}
	if err := p.life.list.Leave(timeout); err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	p.life.left = true
	return nil
}

// Changed receives after members or facts have changed; changes while nobody receives are one.
func (p *Pool) Changed() <-chan struct{} { return p.changed }

func (p *Pool) notify() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// encodedMetadata returns what this node says of itself.
func (p *Pool) encodedMetadata() []byte {
	b, err := p.meta.encode()
	if err != nil {
		panic(fmt.Sprintf("gossip: metadata that were checked: %v", err))
	}
	return b
}

func (p *Pool) self() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.self
}

func (p *Pool) isLeaving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.leaving
}
