package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barograph-db/barograph/cluster/placement"
)

const (
	identityFile = "node-id"
	// maxIdentity is more than a UUID and a newline.
	maxIdentity = 64
)

// Identity returns the ID of a data directory, which it makes at the first start. Whoever calls it
// holds the directory's lock.
func Identity(fs vfs.FS, dir string) (placement.NodeID, error) {
	path := fs.PathJoin(dir, identityFile)
	text, err := readFile(fs, path, maxIdentity)
	if errors.Is(err, os.ErrNotExist) {
		id := newUUID()
		if err := writeFile(fs, path, []byte(id.String()+"\n")); err != nil {
			return placement.NodeID{}, fmt.Errorf("write the node's ID: %w", err)
		}
		return id, nil
	}
	if err != nil {
		return placement.NodeID{}, fmt.Errorf("read the node's ID: %w", err)
	}
	id, err := placement.ParseNodeID(strings.TrimSpace(string(text)))
	if err == nil && id == (placement.NodeID{}) {
		err = errors.New("it is zero")
	}
	if err != nil {
		return placement.NodeID{}, fmt.Errorf("%s: %w", path, err)
	}
	return id, nil
}

// newUUID is a random one (RFC 9562, version 4).
func newUUID() (id placement.NodeID) {
	_, _ = rand.Read(id[:]) // It never fails.
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// readFile reads a file of at most so many bytes.
func readFile(fs vfs.FS, path string, most int64) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, err
}

// writeFile puts a file in the place of another in one step: after a crash there is the one or the
// other.
func writeFile(fs vfs.FS, path string, data []byte) error {
	fresh := path + ".new"
	f, err := fs.Create(fresh, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(fresh, path); err != nil {
		return err
	}
	dir, err := fs.OpenDir(fs.PathDir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
