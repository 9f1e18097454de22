package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/cluster/placement"
)

// DefaultPort is where nodes gossip, by TCP and UDP.
const DefaultPort = 11015

// Options of a Pool. Cluster, Node and RPCAddr are needed.
type Options struct {
	// Cluster is the cluster's name, up to 64 bytes: nodes of another never meet this one.
	Cluster string
	// Node is the identity of this node's data directory.
	Node placement.NodeID
	// Name, Zone, Region and Software (a version) are shown to the others; 400 bytes in all.
	Name, Zone, Region, Software string
	// RPCAddr is HOST:PORT where the others reach this node's RPC; with an empty host, the host at
	// which it is reached for gossip.
	RPCAddr string
	// Weight is the node's share of the shards relative to the others'; default 1.
	Weight uint32
	// Protocol is the highest version of RPC that the node speaks, and LowestProtocol the lowest.
	Protocol, LowestProtocol uint8

	// Listen is HOST:PORT for TCP and UDP; default all addresses, port 11015.
	Listen string
	// Advertise is the host, a name or an IP, at which the others reach this node. The default is
	// that of Listen or, if it has none, the first private address of the machine.
	Advertise string
	// Join are gossip addresses of any members: HOST:PORT or dns+NAME[:PORT], up to 64. Names are
	// resolved at each try. With none the node waits to be joined.
	Join []string
	// Keys encrypt gossip: AES-128, -192 or -256 by their length. The first encrypts, all decrypt,
	// so that a key is changed by adding it to all nodes, then putting it first, then removing the
	// other. Default: no encryption.
	Keys [][]byte
	// ForgetDead is how long a dead member is remembered, with its facts, and its address tried;
	// default 24 h, longer than most partitions.
	ForgetDead time.Duration

	// Network is what the node is on; default that of the machine.
	Network Network
	// Resolve looks up a name's addresses; default by the system's resolver.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	// Logger gets members that come and go, and what goes wrong; default slog.Default.
	Logger *slog.Logger
	// Registerer takes the metrics; nil keeps none.
	Registerer prometheus.Registerer
}

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	if o.Weight == 0 {
		o.Weight = 1
	}
	if o.Listen == "" {
		o.Listen = ":" + strconv.Itoa(DefaultPort)
	}
	if o.ForgetDead == 0 {
		o.ForgetDead = 24 * time.Hour
	}
	if o.Network == nil {
		o.Network = system{}
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// Validate returns an error that names the option it finds wrong.
func (o *Options) Validate() error {
	switch {
	case o.Cluster == "" || len(o.Cluster) > maxClusterName:
		return fmt.Errorf("cluster name %.80q: must have 1 to %d bytes", o.Cluster, maxClusterName)
	case o.Node == placement.NodeID{}:
		return errors.New("node ID is missing")
	case o.ForgetDead < time.Minute:
		return fmt.Errorf("forget dead members after %v: must be 1 min or more", o.ForgetDead)
	case len(o.Join) > maxJoin:
		return fmt.Errorf("%d addresses to join: must be up to %d", len(o.Join), maxJoin)
	}
	for _, addr := range []string{o.RPCAddr, o.Listen} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("address: %w", err)
		}
	}
	for _, s := range o.Join {
		if _, err := parseSeed(s); err != nil {
			return err
		}
	}
	return validateKeys(o.Keys)
}

// seed is where others may be found: an address to join.
type seed struct {
	host string
	port uint16
}

// parseSeed reads HOST:PORT or dns+NAME[:PORT].
func parseSeed(s string) (seed, error) {
	name, isName := strings.CutPrefix(s, "dns+")
	if isName && !strings.Contains(name, ":") {
		name += ":" + strconv.Itoa(DefaultPort)
	}
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		return seed{}, fmt.Errorf("address to join: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" {
		return seed{}, fmt.Errorf("address to join %q: must be HOST:PORT or dns+NAME[:PORT]", s)
	}
	return seed{host, uint16(n)}, nil
}
