package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barograph-db/barograph/cluster/durable"
	"github.com/barograph-db/barograph/cluster/placement"
)

// doubts.json in the data directory says whom the node trusted when, and what is lost to it. It is
// written anew every minute, and when it must be known after a restart. docs/formats/doubts.md tells of
// its fields.
const (
	doubtsFile    = "doubts.json"
	doubtsVersion = 1
	maxDoubts     = 1 << 20 // bytes
	// keepDoubtsEvery is how often it is written. A node that starts doubts up to that much more.
	keepDoubtsEvery = time.Minute
)

type doubtsJSON struct {
	Version int                  `json:"version"`
	At      int64                `json:"at"`
	Nodes   map[string]doubtJSON `json:"nodes,omitempty"`
	Lost    []stretchJSON        `json:"lost,omitempty"`
}

type doubtJSON struct {
	Trusted int64 `json:"trusted"`
	Gone    bool  `json:"gone,omitempty"`
}

type stretchJSON struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

func (d doubted) encode() []byte {
	j := doubtsJSON{Version: doubtsVersion, At: d.at, Nodes: map[string]doubtJSON{}}
	for id, o := range d.about {
		j.Nodes[id.String()] = doubtJSON{o.trusted, o.gone}
	}
	for _, s := range d.lost {
		j.Lost = append(j.Lost, stretchJSON{s.from, s.to})
	}
	text, err := json.Marshal(j)
	if err != nil {
		panic(fmt.Sprintf("encode doubts: %v", err)) // There is nothing in it that can't be.
	}
	return append(text, '\n')
}

func decodeDoubts(text []byte) (d doubted, err error) {
	var j doubtsJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return d, fmt.Errorf("decode doubts: %w", err)
	}
	if j.Version != doubtsVersion {
		return d, fmt.Errorf("decode doubts: version %d is not known", j.Version)
	}
	if len(j.Lost) > maxLost {
		return d, errors.New("decode doubts: more is lost than can be")
	}
	d.at, d.about = j.At, make(map[placement.NodeID]doubt, len(j.Nodes))
	for text, o := range j.Nodes {
		id, err := placement.ParseNodeID(text)
		if err != nil {
			return doubted{}, fmt.Errorf("decode doubts: %w", err)
		}
		d.about[id] = doubt{o.Trusted, o.Gone}
	}
	for _, s := range j.Lost {
		if s.From > s.To {
			return doubted{}, errors.New("decode doubts: a stretch ends before it begins")
		}
		d.lost = append(d.lost, stretch{s.From, s.To})
	}
	return d, nil
}

// load reads what was trusted. A node that is new has missed nothing before now; one whose file is gone, or
// can't be read, may have missed everything.
func (d *doubts) load(fs vfs.FS, path string, isNew bool, now time.Time) error {
	text, err := durable.Read(fs, path, maxDoubts)
	read := doubted{at: math.MinInt64, about: map[placement.NodeID]doubt{}}
	switch {
	case err == nil:
		var decoded doubted
		if decoded, err = decodeDoubts(text); err == nil {
			read = decoded
		}
	case errors.Is(err, os.ErrNotExist):
		if err = nil; isNew {
			read.at = now.UnixMilli()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.doubted, d.mu.dirty = read, true
	return err
}

// save puts what is trusted on disk. After an error the file says what it did, by which the node would find
// the same, or doubt more.
func (d *doubts) save(fs vfs.FS, path string) error {
	d.mu.Lock()
	copied := doubted{at: d.mu.at, about: make(map[placement.NodeID]doubt, len(d.mu.about)), lost: slices.Clone(d.mu.lost)}
	for id, o := range d.mu.about {
		copied.about[id] = o
	}
	d.mu.dirty = false
	d.mu.Unlock()
	if err := durable.Replace(fs, path, copied.encode()); err != nil {
		return fmt.Errorf("keep what is trusted: %w", err)
	}
	return nil
}

// unsaved reports whether there is something that must outlive a restart and would not.
func (d *doubts) unsaved() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.dirty
}
