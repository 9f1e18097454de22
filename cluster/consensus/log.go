package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// errNotFound has the text by which Raft knows that a value has not been set.
var errNotFound = errors.New("not found")

// loadLog checks that the log has no gap and that every entry can be read.
func (s *store) loadLog() (lastTerm uint64, err error) {
	err = s.scan([]byte{entryKey}, []byte{entryKey + 1}, func(key, value []byte) error {
		index, err := keyNumber(key)
		if err != nil {
			return err
		}
		if s.log.last != 0 && index != s.log.last+1 {
			return fmt.Errorf("%w: entry %d follows entry %d", ErrDamaged, index, s.log.last)
		}
		var l raft.Log
		if err := decodeEntry(value, index, &l); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if s.log.first == 0 {
			s.log.first = index
		}
		s.log.last, lastTerm = index, max(lastTerm, l.Term)
		return nil
	})
	return lastTerm, err
}

// dropCovered removes a log that ends before the snapshot does, as when the power went after a
// snapshot was received and before Raft removed what it covers: what comes next leaves a gap.
func (s *store) dropCovered() error {
	m := s.snapshots.newest.meta
	if m == nil || s.log.last == 0 || s.log.last >= m.Index {
		return nil
	}
	return s.DeleteRange(s.log.first, s.log.last)
}

// IsMonotonic makes Raft remove the whole log when it receives a snapshot, so that there are no gaps.
func (s *store) IsMonotonic() bool { return true }

// FirstIndex implements raft.LogStore.
func (s *store) FirstIndex() (uint64, error) {
	s.log.Lock()
	defer s.log.Unlock()
	return s.log.first, nil
}

// LastIndex implements raft.LogStore.
func (s *store) LastIndex() (uint64, error) {
	s.log.Lock()
	defer s.log.Unlock()
	return s.log.last, nil
}

// GetLog implements raft.LogStore.
func (s *store) GetLog(index uint64, l *raft.Log) error {
	v, err := s.get(numberKey(entryKey, index))
	switch {
	case errors.Is(err, errNotFound):
		return raft.ErrLogNotFound
	case err != nil:
		return fmt.Errorf("read entry %d: %w", index, err)
	}
	return decodeEntry(v, index, l)
}

// StoreLog implements raft.LogStore.
func (s *store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore: all of them or none, on disk.
func (s *store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.log.Lock()
	first, last := s.log.first, s.log.last
	s.log.Unlock()
	b := s.db.NewBatch()
	for _, l := range logs {
		if last != 0 && l.Index != last+1 {
			return fmt.Errorf("entry %d is to follow entry %d", l.Index, last)
		}
		if first == 0 {
			first = l.Index
		}
		last = l.Index
		value := appendEntry(nil, l)
		if len(value) > maxEntryBytes {
			return fmt.Errorf("entry %d: %w: %d bytes", l.Index, ErrTooLarge, len(value))
		}
		if err := b.Set(numberKey(entryKey, l.Index), value, nil); err != nil {
			return err
		}
	}
	if err := b.Set([]byte{appliedKey}, binary.BigEndian.AppendUint64(nil, s.applied.Load()), nil); err != nil {
		return err
	}
	if err := s.commit(b); err != nil {
		return err
	}
	s.setRange(first, last)
	return nil
}

// noteApplied remembers that an entry was applied. It is not synced: what is lost with it is applied
// again once a leader is there, and written along with the next entry anyway.
func (s *store) noteApplied(index uint64) {
	s.applied.Store(index)
	b := s.db.NewBatch()
	if err := b.Set([]byte{appliedKey}, binary.BigEndian.AppendUint64(nil, index), nil); err == nil {
		_ = s.write(b) // An error ends the group by itself.
	}
}

// DeleteRange implements raft.LogStore, for either end of the log.
func (s *store) DeleteRange(from, to uint64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.log.Lock()
	first, last := s.log.first, s.log.last
	s.log.Unlock()
	if last == 0 || from > to || to < first || from > last {
		return nil
	}
	b := s.db.NewBatch()
	if err := b.DeleteRange(numberKey(entryKey, max(from, first)), numberKey(entryKey, min(to, last)+1), nil); err != nil {
		return err
	}
	switch {
	case from <= first && to >= last:
		first, last = 0, 0
	case from <= first:
		first = to + 1
	case to >= last:
		last = from - 1
	default:
		return fmt.Errorf("removing entries %d to %d would leave a gap", from, to)
	}
	if err := s.commit(b); err != nil {
		return err
	}
	s.setRange(first, last)
	return nil
}

func (s *store) setRange(first, last uint64) {
	s.log.Lock()
	defer s.log.Unlock()
	s.log.first, s.log.last = first, last
}

// Set implements raft.StableStore.
func (s *store) Set(key, value []byte) error {
	b := s.db.NewBatch()
	return errors.Join(b.Set(append([]byte{stableKey}, key...), value, nil), s.commit(b))
}

// Get implements raft.StableStore.
func (s *store) Get(key []byte) ([]byte, error) { return s.get(append([]byte{stableKey}, key...)) }

// SetUint64 implements raft.StableStore.
func (s *store) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (s *store) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("%w: number %q of %d bytes", ErrDamaged, key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}
