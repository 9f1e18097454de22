package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph-db/barograph/cluster/consensus"
	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/ruler"
	"github.com/barograph-db/barograph/ruler/assign"
	"github.com/barograph-db/barograph/ruler/ledger"
)

// aloneDir is the folder of what a node by itself agrees upon with itself.
const aloneDir = "rules"

// alone is the ledger of a node by itself: a group of one, which has what was agreed upon on its disk.
// It is there once it is opened; that the node elects itself, which commands wait for, takes a moment.
type alone struct {
	id     placement.NodeID
	fs     vfs.FS
	dir    string
	ledger *ledger.State
	group  *consensus.Group
}

// errorsOnly leaves out how the node elects itself.
type errorsOnly struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h errorsOnly) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && h.Handler.Enabled(ctx, l)
}

var errNobody = errors.New("the node is by itself")

func (n *Node) openAlone(id placement.NodeID, reg prometheus.Registerer) (*alone, error) {
	a := &alone{id: id, fs: n.cfg.disk, dir: n.cfg.disk.PathJoin(n.cfg.Storage.Path, aloneDir), ledger: ledger.New()}
	var err error
	a.group, err = consensus.Open(consensus.Options{
		ID: id, Dir: a.dir, FS: a.fs, States: map[string]consensus.State{ledger.Name: a.ledger},
		Listener: newDeaf(),
		Dial:     func(context.Context, consensus.Server) (net.Conn, error) { return nil, errNobody },
		Forward: func(context.Context, consensus.Server, []byte) ([]byte, error) {
			return nil, fmt.Errorf("%w: %w", consensus.ErrNoLeader, errNobody)
		},
		HeartbeatTimeout: 50 * time.Millisecond, // There is nobody whose word could be late.
		MaxCommandBytes:  ruler.MaxCommand,
		Logger:           slog.New(errorsOnly{n.logger.Handler()}), Registerer: reg,
	})
	if err == nil {
		err = a.group.Bootstrap([]consensus.Server{{ID: id, Addr: deafAddr{}.String(), Voter: true}})
		if errors.Is(err, consensus.ErrFounded) {
			err = nil
		}
		if err != nil {
			err = errors.Join(err, a.group.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the node's rules and alerts in %s (without that folder, rule files begin anew and rules of the API are gone): %w", a.dir, err)
	}
	return a, nil
}

// openBefore reads what the node had while it was by itself, nil if that is nothing.
func (n *Node) openBefore(id placement.NodeID) (*alone, error) {
	if _, err := n.cfg.disk.Stat(n.cfg.disk.PathJoin(n.cfg.Storage.Path, aloneDir)); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	a, err := n.openAlone(id, nil)
	if err != nil {
		return nil, err
	}
	return a, a.group.Close()
}

// groups are all that there are.
func (a *alone) groups() []*ledger.Group {
	view, _ := a.ledger.View()
	return view.Groups
}

// remove forgets it for good. In one step, so that a half of it is never opened.
func (a *alone) remove() error {
	gone := a.dir + ".gone"
	if err := a.fs.RemoveAll(gone); err != nil {
		return err
	}
	if err := a.fs.Rename(a.dir, gone); err != nil {
		return err
	}
	return a.fs.RemoveAll(gone)
}

func (a *alone) members() []assign.Member {
	return []assign.Member{{ID: a.id.String(), Alive: true, Leading: true}}
}

func (a *alone) propose(ctx context.Context, command []byte) ([]byte, error) {
	return a.group.Propose(ctx, ledger.Name, command)
}

// deaf is a listener that nobody can reach.
type deaf struct {
	once   sync.Once
	closed chan struct{}
}

func newDeaf() *deaf { return &deaf{closed: make(chan struct{})} }

// Accept waits for the end.
func (d *deaf) Accept() (net.Conn, error) {
	<-d.closed
	return nil, net.ErrClosed
}

// Close ends Accept.
func (d *deaf) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// Addr is no address.
func (*deaf) Addr() net.Addr { return deafAddr{} }

type deafAddr struct{}

func (deafAddr) Network() string { return "none" }
func (deafAddr) String() string  { return "itself" }
