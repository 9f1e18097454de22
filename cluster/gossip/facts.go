package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
)

// facts are what is known of each node: its newest versions. They are plain data; Pool guards them.
type facts struct {
	self   placement.NodeID
	byNode map[placement.NodeID]*nodeFacts
	own    map[string]bool // Keys published since the process began.
	bytes  int             // Keys and values in all.
}

type nodeFacts struct {
	byKey map[string]Fact
	bytes int
}

var (
	errTooManyFacts     = fmt.Errorf("a node may publish up to %d facts", MaxFacts)
	errTooManyFactBytes = fmt.Errorf("a node may publish up to %d bytes", MaxFactBytes)
)

func newFacts(self placement.NodeID) *facts {
	return &facts{self: self, byNode: map[placement.NodeID]*nodeFacts{}, own: map[string]bool{}}
}

// publish makes the next version of an own fact. Versions start at the clock, in microseconds, so
// that they are above those of an earlier life of the node even if nobody can tell it of them.
func (fs *facts) publish(key string, value []byte, now time.Time) (Fact, error) {
	f := Fact{Node: fs.self, Key: key, Value: bytes.Clone(value)}
	if last, ok := fs.get(fs.self, key); ok {
		f.Version = last.Version + 1
	}
	f.Version = max(f.Version, uint64(max(now.UnixMicro(), 0)))
	if err := f.check(); err != nil {
		return Fact{}, err
	}
	if n := fs.byNode[fs.self]; n != nil && key != leavingKey {
		if last, ok := n.byKey[key]; !ok && len(n.byKey) >= MaxFacts {
			return Fact{}, errTooManyFacts
		} else if n.bytes+f.size()-last.size() > MaxFactBytes {
			return Fact{}, errTooManyFactBytes
		}
	}
	if err := fs.put(f); err != nil {
		return Fact{}, err
	}
	fs.own[key] = true
	return f, nil
}

// merge takes a fact that others tell. It returns what is to be told further, if anything: the
// fact, if it is news, or its own newer version, if others remember one of an earlier life. What
// an earlier life published and this one has not yet stands.
func (fs *facts) merge(f Fact) (tell Fact, news bool, err error) {
	last, ok := fs.get(f.Node, f.Key)
	if f.Node == fs.self && fs.own[f.Key] {
		if f.Version < last.Version || f.Version == last.Version && bytes.Equal(f.Value, last.Value) {
			return Fact{}, false, nil
		}
		if last.Version = f.Version + 1; last.Version == 0 {
			return Fact{}, false, errors.New("no version is left")
		}
		return last, true, fs.put(last)
	}
	if ok && f.Version <= last.Version {
		return Fact{}, false, nil
	}
	f.Value = bytes.Clone(f.Value)
	if err := fs.put(f); err != nil {
		return Fact{}, false, err
	}
	return f, true, nil
}

func (fs *facts) get(node placement.NodeID, key string) (Fact, bool) {
	if n := fs.byNode[node]; n != nil {
		f, ok := n.byKey[key]
		return f, ok
	}
	return Fact{}, false
}

// put keeps a fact, within the node's bounds and room for one more, that it leaves.
func (fs *facts) put(f Fact) error {
	n := fs.byNode[f.Node]
	if n == nil {
		n = &nodeFacts{byKey: map[string]Fact{}}
	}
	last, ok := n.byKey[f.Key]
	grows := f.size()
	if ok {
		grows -= last.size()
	}
	switch {
	case !ok && len(n.byKey) > MaxFacts:
		return errTooManyFacts
	case n.bytes+grows > MaxFactBytes+MaxKey:
		return errTooManyFactBytes
	}
	n.byKey[f.Key] = f
	n.bytes += grows
	fs.bytes += grows
	fs.byNode[f.Node] = n
	return nil
}

// forget drops all facts of a node.
func (fs *facts) forget(node placement.NodeID) {
	if n := fs.byNode[node]; n != nil {
		fs.bytes -= n.bytes
		delete(fs.byNode, node)
	}
}

// leave drops the facts of a node that has left, but for the one that tells so.
func (fs *facts) leave(node placement.NodeID) {
	f, ok := fs.get(node, leavingKey)
	fs.forget(node)
	if ok {
		fs.byNode[node] = &nodeFacts{byKey: map[string]Fact{leavingKey: f}, bytes: f.size()}
		fs.bytes += f.size()
	}
}

// list returns the facts of a key, sorted by node, without those taken back.
func (fs *facts) list(key string) []Fact {
	var list []Fact
	for node := range fs.byNode {
		if f, ok := fs.get(node, key); ok && len(f.Value) > 0 {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b Fact) int { return a.Node.Compare(b.Node) })
	return list
}

// encode returns a message of all facts of some nodes: the own first, then those of the others in any order, as
// many as fit. What is left out has its turn in another exchange.
func (fs *facts) encode(of func(placement.NodeID) bool) []byte {
	b := []byte{factsVersion}
	nodes := slices.Collect(maps.Keys(fs.byNode))
	rand.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	if i := slices.Index(nodes, fs.self); i > 0 {
		nodes[0], nodes[i] = nodes[i], nodes[0]
	}
	for _, node := range nodes {
		if !of(node) {
			continue
		}
		for _, f := range fs.byNode[node].byKey {
			if len(b)+f.size()+64 <= maxState {
				b = appendFact(b, &f)
			}
		}
	}
	return b
}
