package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/cluster/placement"
)

// State is one of the things that are replicated. Apply and Restore must come to the same on every
// node: no clock, no randomness, nothing that the node alone knows.
type State interface {
	// Reads returns an error for a command that newer software has written in a way which is not known
	// here: nodes that know it do something else than what could be done here.
	Reads(command []byte) error
	// Apply performs a command. The result goes to the proposer; a command that makes no sense is
	// said so there. Apply may keep neither.
	Apply(command []byte) (result []byte)
	// Snapshot returns the whole state, which the state may not change afterwards.
	Snapshot() ([]byte, error)
	// Restore replaces the whole state by what Snapshot returned, or, with an error, leaves it as it
	// was. No bytes are the state before the first command.
	Restore(snapshot []byte) error
}

// Options of a Group. ID, Dir, Listener, Dial and Forward must be given.
type Options struct {
	// ID is this node's.
	ID placement.NodeID
	// Dir holds the store and nothing else; it is created.
	Dir string
	// FS is the disk; default the operating system's.
	FS vfs.FS
	// States by their names, of which MaxName bytes are allowed.
	States map[string]State

	// Listener takes the connections of other nodes; Run and Close close it.
	Listener net.Listener
	// Dial connects to another node's Listener, within ctx.
	Dial func(context.Context, Server) (net.Conn, error)
	// Address says where a node is now, if that is known; otherwise it is where it was when it was
	// added. Optional.
	Address func(placement.NodeID) (string, bool)
	// Forward hands a request to another node, whose Forwarded answers it. An error that is
	// ErrNoLeader says that the request has not been sent.
	Forward func(ctx context.Context, to Server, request []byte) ([]byte, error)

	Logger *slog.Logger
	// Registerer takes the metrics, of one Group only; nil keeps none.
	Registerer prometheus.Registerer

	// HeartbeatTimeout without a word from the leader, and up to twice that, begins an election.
	// Default 1 s: with hosts on one LAN a leader that died is replaced within 3 s, and a pause of
	// the garbage collector or the disk replaces none. Each other node costs the leader ten
	// heartbeats per timeout at most.
	HeartbeatTimeout time.Duration
	// ElectionTimeout is when, and up to twice that, an election without a result begins anew, and
	// how long handing over the leadership may take. Default and least: HeartbeatTimeout.
	ElectionTimeout time.Duration
	// LeaderLease without an answer of a quorum makes a leader step down. Default and most: half of
	// HeartbeatTimeout.
	LeaderLease time.Duration
	// CommitInterval, and up to twice that, is how late others hear what was committed when nothing
	// follows it. Default 250 ms; less costs more messages while nothing happens.
	CommitInterval time.Duration

	// SnapshotInterval, and up to twice that, passes between looks whether SnapshotEntries have come
	// since the last snapshot, which asks for another. Defaults 30 s and 512.
	SnapshotInterval time.Duration
	SnapshotEntries  uint64
	// TrailingEntries are kept before a snapshot, so that a node that was away for a moment is not
	// sent all of it. Default 256.
	TrailingEntries uint64

	// MaxCommandBytes bounds one command; default 8 MiB.
	MaxCommandBytes int
	// MaxSnapshotBytes bounds the states together; default 64 MiB. They are held in memory
	// several times while a snapshot is made.
	MaxSnapshotBytes int
	// MaxProposals under way at once through this node, of its own or forwarded to it; default 256.
	MaxProposals int
}

const (
	// MaxName bounds the name of a state, in bytes.
	MaxName = 64
	// maxAppendEntries bounds what one message between nodes carries.
	maxAppendEntries = 16
	// ioTimeout bounds one exchange between nodes; raft adds to it for large snapshots.
	ioTimeout = 5 * time.Second
	// longestProposal is how long Propose waits when its context has no deadline.
	longestProposal = 30 * time.Second
)

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Address == nil {
		o.Address = func(placement.NodeID) (string, bool) { return "", false }
	}
	setDefault(&o.HeartbeatTimeout, time.Second)
	setDefault(&o.ElectionTimeout, o.HeartbeatTimeout)
	setDefault(&o.LeaderLease, o.HeartbeatTimeout/2)
	setDefault(&o.CommitInterval, 250*time.Millisecond)
	setDefault(&o.SnapshotInterval, 30*time.Second)
	setDefault(&o.SnapshotEntries, 512)
	setDefault(&o.TrailingEntries, 256)
	setDefault(&o.MaxCommandBytes, 8<<20)
	setDefault(&o.MaxSnapshotBytes, 64<<20)
	setDefault(&o.MaxProposals, 256)
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Validate returns an error that names the option it finds wrong.
func (o *Options) Validate() error {
	switch {
	case o.ID == placement.NodeID{}:
		return errors.New("no ID of the node")
	case o.Dir == "":
		return errors.New("no directory")
	case o.Listener == nil || o.Dial == nil || o.Forward == nil:
		return errors.New("no way to reach other nodes")
	case o.MaxCommandBytes < 1 || o.MaxCommandBytes > maxEntryBytes-MaxName-8:
		return fmt.Errorf("commands of %d bytes", o.MaxCommandBytes)
	case o.MaxSnapshotBytes < 1:
		return fmt.Errorf("snapshots of %d bytes", o.MaxSnapshotBytes)
	case o.MaxProposals < 1:
		return fmt.Errorf("%d proposals at once", o.MaxProposals)
	}
	for name, state := range o.States {
		if name == "" || len(name) > MaxName || state == nil {
			return fmt.Errorf("state %.80q", name)
		}
	}
	return raft.ValidateConfig(o.config())
}

func (o *Options) config() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = serverID(o.ID)
	c.HeartbeatTimeout = o.HeartbeatTimeout
	c.ElectionTimeout = o.ElectionTimeout
	c.LeaderLeaseTimeout = o.LeaderLease
	c.CommitTimeout = o.CommitInterval
	c.SnapshotInterval = o.SnapshotInterval
	c.SnapshotThreshold = o.SnapshotEntries
	c.TrailingLogs = o.TrailingEntries
	c.MaxAppendEntries = maxAppendEntries
	// A node that was removed stays, as one that others may add again.
	c.ShutdownOnRemove = false
	// Open has restored it, and applied what followed.
	c.NoSnapshotRestoreOnStart = true
	c.NoLegacyTelemetry = true
	c.Logger = newLogger(o.Logger)
	return c
}
