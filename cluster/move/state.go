package move

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

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
	f, err := m.opts.FS.Open(m.path())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxState {
		return nil, fmt.Errorf("%s has more than %d bytes", m.path(), maxState)
	}
	return decodeState(text)
}

// save puts the progress on disk, in one step.
func (m *Mover) save(s *state) error {
	fs, fresh := m.opts.FS, m.path()+".new"
	f, err := fs.Create(fresh, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = f.Write(s.encode())
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = fs.Rename(fresh, m.path())
	}
	if err == nil {
		err = m.syncDir()
	}
	if err != nil {
		return fmt.Errorf("keep the progress of a move: %w", err)
	}
	return nil
}

func (m *Mover) syncDir() error {
	dir, err := m.opts.FS.OpenDir(m.opts.Dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (m *Mover) path() string { return m.opts.FS.PathJoin(m.opts.Dir, stateFile) }
