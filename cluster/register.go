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
		return a, fmt.Errorf("decode placement of a region: version %d is unknown", data[0])
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

// register is the state that Raft replicates: what the region has agreed upon. What Raft has not brought here
// yet may have been learnt of another node, to which it has.
type register struct {
	applied atomic.Pointer[agreed]
	learnt  atomic.Pointer[agreed]
	changed chan struct{} // one reader; changes while nobody reads are one
}

func newRegister() *register {
	r := &register{changed: make(chan struct{}, 1)}
	r.applied.Store(&agreed{})
	return r
}

// get returns the latest that is known.
func (r *register) get() agreed {
	applied, learnt := r.applied.Load(), r.learnt.Load()
	if learnt != nil && applied.placement != nil && learnt.region == applied.region &&
		learnt.placement.Epoch > applied.placement.Epoch {
		return *learnt
	}
	return *applied
}

// learn takes what another node knows to be in force, if it is news.
func (r *register) learn(a agreed) {
	for {
		before, now := r.learnt.Load(), r.get()
		if now.placement == nil || a.region != now.region || a.placement.Epoch <= now.placement.Epoch {
			return
		}
		if r.learnt.CompareAndSwap(before, &a) {
			r.tell()
			return
		}
	}
}

// Apply takes the next placement, if it follows the one in force.
func (r *register) Apply(command []byte) []byte {
	next, err := decodeAgreed(command)
	switch {
	case err != nil:
		return []byte{answerBad}
	case !next.follows(*r.applied.Load()):
		return []byte{answerOutdated}
	}
	r.set(next)
	return []byte{answerTaken}
}

// Snapshot returns what Restore reads.
func (r *register) Snapshot() ([]byte, error) {
	a := *r.applied.Load()
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
	r.applied.Store(&a)
	r.tell()
}

func (r *register) tell() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}
