package dedup

import (
	"errors"
	"sync"
)

// StateName is the name of a Table among the states that a cluster replicates.
const StateName = "ha"

// Table has the terms of all pairs. It is a consensus.State: what it holds follows from the commands
// that were applied.
type Table struct {
	mu struct {
		sync.RWMutex
		terms
	}
}

// NewTable returns an empty Table.
func NewTable() *Table {
	t := &Table{}
	t.mu.pairs = map[string]term{}
	return t
}

// get returns the term of a pair, that of sequence 0 if there is none.
func (t *Table) get(pair string) term {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mu.pairs[pair]
}

func (t *Table) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.mu.pairs)
}

// Reads implements consensus.State: it refuses what newer software has written.
func (t *Table) Reads(command []byte) error {
	if _, err := decodeCommand(command); errors.Is(err, errVersion) {
		return err
	}
	return nil
}

// Apply performs a command.
func (t *Table) Apply(command []byte) []byte {
	c, err := decodeCommand(command)
	if err != nil {
		return encodeAnswer(bad, term{})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(c.heard) > 0 {
		t.mu.hear(c.heard)
		return encodeAnswer(taken, term{})
	}
	return encodeAnswer(t.mu.hold(c.elect))
}

// Snapshot returns what Restore reads.
func (t *Table) Snapshot() ([]byte, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.mu.seq == 0 {
		return nil, nil
	}
	return t.mu.encode(), nil
}

// Restore takes a snapshot.
func (t *Table) Restore(snapshot []byte) error {
	s, err := decodeTerms(snapshot)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.terms = s
	return nil
}
