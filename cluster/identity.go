package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barograph-db/barograph/cluster/durable"
	"github.com/barograph-db/barograph/cluster/placement"
)

const (
	identityFile = "node-id"
	// maxIdentity is more than a UUID and a newline.
	maxIdentity = 64
)

// Identity returns the ID of a data directory, which it makes at the first start: made says so. Whoever
// calls it holds the directory's lock.
func Identity(fs vfs.FS, dir string) (id placement.NodeID, made bool, err error) {
	path := fs.PathJoin(dir, identityFile)
	text, err := durable.Read(fs, path, maxIdentity)
	if errors.Is(err, os.ErrNotExist) {
		id := newUUID()
		if err := durable.Replace(fs, path, []byte(id.String()+"\n")); err != nil {
			return placement.NodeID{}, false, fmt.Errorf("write the node's ID: %w", err)
		}
		return id, true, nil
	}
	if err != nil {
		return placement.NodeID{}, false, fmt.Errorf("read the node's ID: %w", err)
	}
	id, err = placement.ParseNodeID(strings.TrimSpace(string(text)))
	if err == nil && id == (placement.NodeID{}) {
		err = errors.New("it is zero")
	}
	if err != nil {
		return placement.NodeID{}, false, fmt.Errorf("%s: %w", path, err)
	}
	return id, false, nil
}

// newUUID is a random one (RFC 9562, version 4).
func newUUID() (id placement.NodeID) {
	_, _ = rand.Read(id[:]) // It never fails.
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}
