package consensus

import (
	"errors"
	"sync"
)

// Errors that callers tell apart.
var (
	// ErrNoLeader is returned when no leader took the proposal in time. Nothing has happened.
	ErrNoLeader = errors.New("no leader")
	// ErrLost is returned when a proposal was taken and its outcome is unknown: it may have been
	// applied, or may yet be. The caller must look.
	ErrLost = errors.New("outcome of the proposal is unknown")
	// ErrTooLarge is returned for a command above Options.MaxCommandBytes and a snapshot above
	// Options.MaxSnapshotBytes.
	ErrTooLarge = errors.New("too large for consensus")
	// ErrBusy is returned while Options.MaxProposals are under way. Nothing has happened.
	ErrBusy = errors.New("too many proposals under way")
	// ErrUnknownState is returned for the name of a state that this node does not know.
	ErrUnknownState = errors.New("unknown state")
	// ErrFounded is returned by Bootstrap where there is something already.
	ErrFounded = errors.New("already founded")
	// ErrNotLeader is returned by SetServers where another node leads, or does so now.
	ErrNotLeader = errors.New("not the leader")
	// ErrClosed is returned before Run, and after it has ended.
	ErrClosed = errors.New("consensus is not running")
	// ErrDamaged is returned by Open for a store that makes no sense. The node must be removed from
	// the region and join anew with an empty data directory.
	ErrDamaged = errors.New("the store of consensus is damaged")
)

// failure is the first error after which the group cannot go on.
type failure struct {
	once sync.Once
	err  error         // set before done is closed
	done chan struct{} // closed by the first fail
}

func newFailure() *failure { return &failure{done: make(chan struct{})} }

func (f *failure) fail(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.done)
	})
}

// get returns the error, or nil as long as there is none.
func (f *failure) get() error {
	select {
	case <-f.done:
		return f.err
	default:
		return nil
	}
}
