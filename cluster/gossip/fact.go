package gossip

import (
	"encoding/binary"
	"fmt"

	"github.com/barograph-db/barograph/cluster/placement"
)

// Bounds of facts.
const (
	// MaxKey is the largest key, in bytes.
	MaxKey = 64
	// MaxFacts is how many keys a node may have published.
	MaxFacts = 32
	// MaxFactBytes is what a node's keys and values may take in all.
	MaxFactBytes = 64 << 10

	// maxPacketFact is the largest message that a packet surely takes, beside the cluster's name and
	// what encryption adds: 1400 bytes less 2+64, 45 and some for framing, and room to spare.
	maxPacketFact = 1024
	// maxState bounds the facts in one exchange of states; memberlist takes 20 MiB of all.
	maxState = 8 << 20
)

const factsVersion = 1

// Fact is something a node has published. The newest version of a key replaces the others.
type Fact struct {
	Node    placement.NodeID
	Version uint64
	Key     string
	Value   []byte // Empty: taken back. Nobody may change it.
}

func (f *Fact) size() int { return len(f.Key) + len(f.Value) }

// check returns an error if the fact alone is out of bounds.
func (f *Fact) check() error {
	switch {
	case f.Key == "" || len(f.Key) > MaxKey:
		return fmt.Errorf("key %.80q: must have 1 to %d bytes", f.Key, MaxKey)
	case f.size() > MaxFactBytes:
		return fmt.Errorf("fact %q has %d bytes: must have up to %d", f.Key, f.size(), MaxFactBytes)
	}
	return nil
}

// appendFact appends the fact's bytes. See doc.go.
func appendFact(b []byte, f *Fact) []byte {
	b = append(b, f.Node[:]...)
	b = binary.AppendUvarint(b, f.Version)
	b = binary.AppendUvarint(b, uint64(len(f.Key)))
	b = append(b, f.Key...)
	b = binary.AppendUvarint(b, uint64(len(f.Value)))
	return append(b, f.Value...)
}

// encodeFact returns a message of one fact.
func encodeFact(f *Fact) []byte {
	return appendFact([]byte{factsVersion}, f)
}

// decodeFacts reads a message of any number of facts. Their values are parts of b.
func decodeFacts(b []byte) ([]Fact, error) {
	if len(b) == 0 {
		return nil, errMalformed
	}
	if b[0] != factsVersion {
		return nil, fmt.Errorf("facts of version %d: can only read %d", b[0], factsVersion)
	}
	var facts []Fact
	for b = b[1:]; len(b) > 0; {
		var f Fact
		if len(b) < len(f.Node) {
			return nil, errMalformed
		}
		b = b[copy(f.Node[:], b):]
		var key []byte
		var err error
		if f.Version, b, err = uvarint(b); err != nil {
			return nil, err
		}
		if key, b, err = sized(b, MaxKey); err != nil {
			return nil, err
		}
		if f.Value, b, err = sized(b, MaxFactBytes); err != nil {
			return nil, err
		}
		f.Key = string(key)
		if err := f.check(); err != nil {
			return nil, err
		}
		facts = append(facts, f)
	}
	return facts, nil
}
