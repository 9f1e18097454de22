package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/cluster/consensus"
	"github.com/barograph-db/barograph/cluster/gossip"
	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/cluster/trust"
)

// Options of a Cluster. Name, Node.ID, Node.Name and Dir have no default.
type Options struct {
	// Name of the cluster. Clusters of different names never meet.
	Name string
	// Node is this one: its ID (see Identity), name, zone and weight (default 1).
	Node placement.Node
	// Region is the name of the data centre; default "default".
	Region string
	// Software is this program's version, shown to others.
	Software string

	// Join are gossip addresses of any members, HOST:PORT or dns+NAME[:PORT]; with none, and without
	// BootstrapExpect, the node founds a region of its own.
	Join []string
	// BootstrapExpect is how many nodes see each other before one of them founds the region; default
	// 1 without Join, else 0, which leaves founding to others.
	BootstrapExpect int
	// GossipAddress and RPCAddress to listen on; default :11015 and :11014.
	GossipAddress, RPCAddress string
	// AdvertiseHost is how others reach this node; default the address listened on, or the host's
	// own if that is none in particular.
	AdvertiseHost string

	// Trust is what nodes know each other by; nil is plain. Its keys of gossip are those of the start: see
	// ReloadKeys.
	Trust *trust.Store

	// Shards of the region that is founded, a power of two; default 256.
	Shards int
	// Factor is the number of replicas of each shard; default 3. It may be more than there are nodes.
	Factor int
	// Hold is how long a dead node keeps its place before others take over; default 5 minutes, so
	// that a restart moves nothing.
	Hold time.Duration
	// Moves is how many moves a node may take part in at a time; default 32:
	// those that begin together are copied together, and for each time it is waited for all nodes to know.
	Moves int

	// States are further things that the region agrees on, by their names; see Cluster.Propose. All
	// nodes must know a name before anything is proposed to it.
	States map[string]consensus.State

	// Dir is the node's data directory, which exists and is locked; FS is what it is on, the disk by
	// default.
	Dir string
	FS  vfs.FS
	// Network is what the node is on; default that of the machine.
	Network Network

	Logger     *slog.Logger          // nil drops it
	Registerer prometheus.Registerer // nil drops it
}

// Network connects nodes.
type Network = gossip.Network

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set(&o.Region, "default")
	set(&o.GossipAddress, ":11015")
	set(&o.RPCAddress, ":11014")
	if o.Node.Weight == 0 {
		o.Node.Weight = 1
	}
	if o.BootstrapExpect == 0 && len(o.Join) == 0 {
		o.BootstrapExpect = 1
	}
	for _, d := range []struct{ n, v *int }{{&o.Shards, new(256)}, {&o.Factor, new(3)}, {&o.Moves, new(32)}} {
		if *d.n == 0 {
			*d.n = *d.v
		}
	}
	if o.Hold == 0 {
		o.Hold = 5 * time.Minute
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
}

// Validate returns an error that names the option it finds wrong.
func (o *Options) Validate() error {
	switch {
	case o.Name == "":
		return errors.New("the cluster has no name")
	case o.Node.ID == placement.NodeID{}:
		return errors.New("the node has no ID")
	case o.Dir == "":
		return errors.New("there is no data directory")
	case o.BootstrapExpect < 0:
		return errors.New("the number of nodes to wait for must not be negative")
	case o.Factor < 1 || o.Factor > placement.MaxFactor:
		return fmt.Errorf("a replication factor of %d is not in 1 to %d", o.Factor, placement.MaxFactor)
	case o.Hold < 0 || o.Moves < 1:
		return errors.New("the hold time must not be negative, and at least one move be allowed")
	}
	if _, ok := o.States[placementName]; ok {
		return fmt.Errorf("there is a state %q already", placementName)
	}
	if _, err := placement.BitsFor(o.Shards); err != nil {
		return err
	}
	for _, a := range []string{o.GossipAddress, o.RPCAddress} {
		if _, _, err := splitAddress(a); err != nil {
			return err
		}
	}
	return nil
}

func splitAddress(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", addr, err)
	}
	if port, err = strconv.Atoi(text); err != nil || port < 0 || port > 1<<16-1 {
		return "", 0, fmt.Errorf("address %q: %q is no port", addr, text)
	}
	return host, port, nil
}
