package cluster

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/barograph-db/barograph/cluster/placement"
)

const (
	registerVersion = 1
	registerHeader  = 1 + 16
)

// agreed is what the region has agreed upon: its own ID, and the placement in force.
type agreed struct {
	region    placement.NodeID
	placement *placement.Placement // nil before the region is founded
}

func (a agreed) encode() []byte {
	return a.placement.Append(append([]byte{registerVersion}, a.region[:]...))
}

func decodeAgreed(data []byte) (a agreed, err error) {
	if len(data) < registerHeader {
		return a, errors.New("decode placement of a region: too short")
	}
	if data[0] != registerVersion {
		return a, fmt.Errorf("decode placement of a region: %w %d, not %d", placement.ErrVersion, data[0], registerVersion)
	}
	copy(a.region[:], data[1:registerHeader])
	a.placement, err = placement.Decode(data[registerHeader:])
	return a, err
}

// follows reports whether a is the next step after now.
func (a agreed) follows(now agreed) bool {
	if now.placement == nil {
		return a.placement.Epoch == 1
	}
	return a.region == now.region && a.placement.Epoch == now.placement.Epoch+1
}

// The answers of register.Apply.
const (
	answerTaken    = 0
	answerOutdated = 1 // it does not follow the one in force
	answerBad      = 2
)

// register is the state that Raft replicates: what the region has agreed upon.
type register struct {
	current atomic.Pointer[agreed]
	changed chan struct{} // one reader; changes while nobody reads are one
}

func newRegister() *register {
	r := &register{changed: make(chan struct{}, 1)}
	r.current.Store(&agreed{})
	return r
}

func (r *register) get() agreed { return *r.current.Load() }

// Reads implements consensus.State.
func (r *register) Reads(command []byte) error {
	if _, err := decodeAgreed(command); errors.Is(err, placement.ErrVersion) {
		return err
	}
	return nil
}

// Apply takes the next placement, if it follows the one in force.
func (r *register) Apply(command []byte) []byte {
	next, err := decodeAgreed(command)
	switch {
	case err != nil:
		return []byte{answerBad}
	case !next.follows(r.get()):
		return []byte{answerOutdated}
	}
	r.set(next)
	return []byte{answerTaken}
}

// Snapshot returns what Restore reads.
func (r *register) Snapshot() ([]byte, error) {
	a := r.get()
	if a.placement == nil {
		return nil, nil
	}
	return a.encode(), nil
}

// Restore takes a snapshot.
func (r *register) Restore(data []byte) error {
	var a agreed
	if len(data) > 0 {
		var err error
		if a, err = decodeAgreed(data); err != nil {
			return err
		}
	}
	r.set(a)
	return nil
}

func (r *register) set(a agreed) {
	r.current.Store(&a)
	select {
	case r.changed <- struct{}{}:
	default:
	}
}
