package move

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/barograph-db/barograph/cluster/durable"
	"github.com/barograph-db/barograph/cluster/placement"
)

const (
	stateFile    = "fill.json"
	stateVersion = 1
	maxState     = 1 << 20 // bytes
)

// state is how far the copy of a batch is.
type state struct {
	Version  int       `json:"version"`
	Replicas []replica `json:"replicas"` // by shard
	Before   int64     `json:"before"`
	Lost     []Gap     `json:"lost,omitempty"`
}

func (s *state) encode() []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("encode the progress of a move: %v", err)) // It has nothing that can't be.
	}
	return append(text, '\n')
}

func decodeState(text []byte) (*state, error) {
	s := &state{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("decode the progress of a move: %w", err)
	}
	switch {
	case s.Version != stateVersion:
		return nil, fmt.Errorf("decode the progress of a move: version %d is not known", s.Version)
	case len(s.Replicas) > 1<<placement.MaxBits || !slices.IsSortedFunc(s.Replicas, byShard):
		return nil, errors.New("decode the progress of a move: its shards are not in order")
	}
	return s, nil
}

func byShard(a, b replica) int { return cmp.Compare(a.Shard, b.Shard) }

// load returns the progress that is on disk, nil if there is none.
func (m *Mover) load() (*state, error) {
	text, err := durable.Read(m.opts.FS, m.path(), maxState)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeState(text)
}

// save puts the progress on disk, in one step.
func (m *Mover) save(s *state) error {
	if err := durable.Replace(m.opts.FS, m.path(), s.encode()); err != nil {
		return fmt.Errorf("keep the progress of a move: %w", err)
	}
	return nil
}

func (m *Mover) path() string { return m.opts.FS.PathJoin(m.opts.Dir, stateFile) }
