package keys

import (
	"encoding/binary"
	"fmt"
)

// The names of the node's own facts. None is a prefix of another.
const (
	formatName    = "format"
	tombstoneName = "tombstone/"
	droppedName   = "dropped"
)

func appendNode(name string) []byte { return append([]byte{byte(Node)}, name...) }

// Format is the key of the version and identity of the whole keyspace.
func Format() []byte { return appendNode(formatName) }

// Dropped is the key of what says which shards were dropped.
func Dropped() []byte { return appendNode(droppedName) }

// Tombstone is the key of a tombstone.
func Tombstone(seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendNode(tombstoneName), seq)
}

// TombstoneBounds bound the tombstones: lower is inclusive, upper is exclusive.
func TombstoneBounds() (lower, upper []byte) {
	lower = appendNode(tombstoneName)
	return lower, successor(lower)
}

// ParseTombstone decodes the key of a tombstone.
func ParseTombstone(key []byte) (seq uint64, err error) {
	prefix := appendNode(tombstoneName)
	if len(key) != len(prefix)+8 || string(key[:len(prefix)]) != string(prefix) {
		return 0, fmt.Errorf("%w: %x is no tombstone", errKey, clip(key))
	}
	return binary.BigEndian.Uint64(key[len(prefix):]), nil
}
