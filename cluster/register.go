package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barograph-db/barograph/cluster/placement"
)

const (
	registerVersion = 1
	placementFile   = "placement"
	registerHeader  = 1 + 16
	maxRegister     = registerHeader + placement.MaxEncoded + 4
)

// agreed is what the region has agreed upon: its own ID, and the placement in force.
type agreed struct {
	region    placement.NodeID
	placement *placement.Placement // nil before the region is founded
}

func (a agreed) encode() []byte {
	b := append([]byte{registerVersion}, a.region[:]...)
	return a.placement.Append(b)
}

// follows reports whether a is the next step after now.
func (a agreed) follows(now agreed) bool {
	if now.placement == nil {
		return a.placement.Epoch == 1
	}
	return a.region == now.region && a.placement.Epoch == now.placement.Epoch+1
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

// The answers of Apply.
var (
	answerTaken    = []byte{0}
	answerOutdated = []byte{1}
	answerBad      = []byte{2}
)

// register is the state that Raft replicates. What it knows is in a file as well, which is older or
// newer than what Raft restores at start: the newer counts, as it was agreed upon.
type register struct {
	fs      vfs.FS
	path    string
	failed  func(error) // told when the file can't be written
	current atomic.Pointer[agreed]
	mu      sync.Mutex // held while current changes
	changed chan struct{}
}

// openRegister reads the file, if there is one.
func openRegister(fs vfs.FS, dir string, failed func(error)) (*register, error) {
	r := &register{fs: fs, path: fs.PathJoin(dir, placementFile), failed: failed, changed: make(chan struct{}, 1)}
	r.current.Store(&agreed{})
	data, err := readFile(fs, r.path, maxRegister)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the placement: %w", err)
	}
	n := len(data) - 4
	if n < 0 || crc32.Checksum(data[:n], castagnoli) != binary.LittleEndian.Uint32(data[n:]) {
		// Raft has it too, but perhaps not at once; a node that is told nothing must not guess.
		failed(fmt.Errorf("%s is damaged and not used", r.path))
		return r, nil
	}
	a, err := decodeAgreed(data[:n])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.path, err)
	}
	r.current.Store(&a)
	return r, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// get returns what is agreed upon.
func (r *register) get() agreed { return *r.current.Load() }

// Apply takes the next placement, if it follows the one in force.
func (r *register) Apply(command []byte) []byte {
	next, err := decodeAgreed(command)
	if err != nil {
		return answerBad
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !next.follows(r.get()) { // After a start, Raft tells again what the file knows.
		return answerOutdated
	}
	r.setLocked(next)
	return answerTaken
}

// Snapshot returns what Restore reads.
func (r *register) Snapshot() ([]byte, error) {
	a := r.get()
	if a.placement == nil {
		return nil, nil
	}
	return a.encode(), nil
}

// Restore takes a snapshot, unless what is known is newer.
func (r *register) Restore(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	a, err := decodeAgreed(data)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.get(); now.placement == nil || now.region != a.region || now.placement.Epoch < a.placement.Epoch {
		r.setLocked(a)
	}
	return nil
}

func (r *register) setLocked(a agreed) {
	r.current.Store(&a)
	data := a.encode()
	data = binary.LittleEndian.AppendUint32(slices.Clip(data), crc32.Checksum(data, castagnoli))
	if err := writeFile(r.fs, r.path, data); err != nil {
		r.failed(fmt.Errorf("write the placement: %w", err))
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}
