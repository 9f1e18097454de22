package placement

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
)

// NodeID is the identity of a node's data directory, a random UUID. The zero ID is nobody's.
type NodeID [16]byte

// String is the usual form of a UUID.
func (id NodeID) String() string {
	var b [36]byte
	hex.Encode(b[:8], id[:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:], id[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// ParseNodeID reads what String writes.
func ParseNodeID(s string) (id NodeID, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return NodeID{}, fmt.Errorf("parse node ID %.40q: not a UUID", s)
	}
	for _, part := range []struct{ to, from []byte }{
		{id[:4], []byte(s[:8])},
		{id[4:6], []byte(s[9:13])},
		{id[6:8], []byte(s[14:18])},
		{id[8:10], []byte(s[19:23])},
		{id[10:], []byte(s[24:])},
	} {
		if _, err := hex.Decode(part.to, part.from); err != nil {
			return NodeID{}, fmt.Errorf("parse node ID %.40q: %w", s, err)
		}
	}
	return id, nil
}

// Compare orders IDs.
func (id NodeID) Compare(other NodeID) int { return bytes.Compare(id[:], other[:]) }

// State is what is wanted of a node.
type State uint8

// The states of a node.
const (
	Active   State = iota // holds its share
	Draining              // is to hold nothing, and helps until then
	Lost                  // has been away for too long: others take over what it holds
)

func (s State) String() string {
	switch s {
	case Active:
		return "active"
	case Draining:
		return "draining"
	case Lost:
		return "lost"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Node is a member of the region, as far as placement goes.
type Node struct {
	ID     NodeID
	Name   string
	Zone   string
	Weight uint32 // Its share relative to the others'; at least 1.
	State  State
}

// maxWeight keeps sums of weights far from overflow.
const maxWeight = 1 << 20

// node returns the node's place in p.Nodes.
func (p *Placement) node(id NodeID) (int, bool) {
	return slices.BinarySearchFunc(p.Nodes, id, func(n Node, id NodeID) int { return n.ID.Compare(id) })
}

// Node returns the node with this ID.
func (p *Placement) Node(id NodeID) (Node, bool) {
	if i, ok := p.node(id); ok {
		return p.Nodes[i], true
	}
	return Node{}, false
}
