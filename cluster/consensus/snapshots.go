package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// chunkBytes of a snapshot make a row.
const chunkBytes = 256 << 10

// snapshot is one that is whole; without meta it is none.
type snapshot struct {
	number uint64
	meta   *raft.SnapshotMeta
}

// loadSnapshot finds the snapshot and removes what lies around of others that were not finished.
func (s *store) loadSnapshot() error {
	err := s.scan([]byte{metaKey}, []byte{metaKey + 1}, func(key, value []byte) error {
		n, err := keyNumber(key)
		if err != nil {
			return err
		}
		m, err := decodeMeta(value, s.opts.MaxSnapshotBytes)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		m.ID = snapshotID(m, n)
		s.snapshots.newest = snapshot{n, m}
		s.metrics.snapshotBytes.Set(float64(m.Size))
		return nil
	})
	if err != nil {
		return err
	}
	newest := s.snapshots.newest.number
	s.snapshots.next = newest + 1
	b := s.db.NewBatch()
	err = errors.Join(
		b.DeleteRange([]byte{chunkKey}, numberKey(chunkKey, newest), nil),
		b.DeleteRange(numberKey(chunkKey, newest+1), []byte{chunkKey + 1}, nil))
	if err != nil {
		return err
	}
	return s.write(b)
}

func snapshotID(m *raft.SnapshotMeta, number uint64) string {
	return fmt.Sprintf("%d-%d-%d", m.Term, m.Index, number)
}

// Create implements raft.SnapshotStore.
func (s *store) Create(_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, configIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	s.snapshots.Lock()
	defer s.snapshots.Unlock()
	n := s.snapshots.next
	s.snapshots.next++
	m := &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, Index: index, Term: term,
		Configuration: c.Clone(), ConfigurationIndex: configIndex,
	}
	m.ID = snapshotID(m, n)
	return &snapshotSink{store: s, snapshot: snapshot{n, m}}, nil
}

// List implements raft.SnapshotStore. There is one at most: whoever reads it has it in memory.
func (s *store) List() ([]*raft.SnapshotMeta, error) {
	s.snapshots.Lock()
	defer s.snapshots.Unlock()
	if s.snapshots.newest.meta == nil {
		return nil, nil
	}
	m := *s.snapshots.newest.meta
	return []*raft.SnapshotMeta{&m}, nil
}

// Open implements raft.SnapshotStore.
func (s *store) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.snapshots.Lock()
	newest := s.snapshots.newest
	s.snapshots.Unlock()
	if newest.meta == nil || newest.meta.ID != id {
		return nil, nil, fmt.Errorf("snapshot %s is gone", id)
	}
	data, err := s.readSnapshot(newest)
	if err != nil {
		return nil, nil, err
	}
	m := *newest.meta
	return &m, io.NopCloser(bytes.NewReader(data)), nil
}

func (s *store) readSnapshot(of snapshot) ([]byte, error) {
	data := make([]byte, 0, of.meta.Size)
	err := s.scan(numberKey(chunkKey, of.number), numberKey(chunkKey, of.number+1), func(_, value []byte) error {
		if int64(len(data)+len(value)) > of.meta.Size {
			return fmt.Errorf("%w: more than its %d bytes", ErrDamaged, of.meta.Size)
		}
		data = append(data, value...)
		return nil
	})
	if err == nil && int64(len(data)) != of.meta.Size {
		err = fmt.Errorf("%w: %d of %d bytes", ErrDamaged, len(data), of.meta.Size)
	}
	if err != nil {
		return nil, fmt.Errorf("read snapshot %s: %w", of.meta.ID, err)
	}
	return data, nil
}

// snapshotSink takes a snapshot. The snapshot is one with its description, which is written last.
type snapshotSink struct {
	store *store
	snapshot
	pending []byte
	chunks  uint32
	ended   bool
}

// ID implements raft.SnapshotSink.
func (k *snapshotSink) ID() string { return k.meta.ID }

// Write implements raft.SnapshotSink.
func (k *snapshotSink) Write(p []byte) (int, error) {
	if k.ended {
		return 0, io.ErrClosedPipe
	}
	if k.meta.Size+int64(len(p)) > int64(k.store.opts.MaxSnapshotBytes) {
		return 0, fmt.Errorf("write snapshot: %w: more than %d bytes", ErrTooLarge, k.store.opts.MaxSnapshotBytes)
	}
	k.meta.Size += int64(len(p))
	k.pending = append(k.pending, p...)
	n := 0
	for ; len(k.pending)-n >= chunkBytes; n += chunkBytes {
		if err := k.writeChunk(k.pending[n : n+chunkBytes]); err != nil {
			return 0, err
		}
	}
	k.pending = append(k.pending[:0], k.pending[n:]...)
	return len(p), nil
}

func (k *snapshotSink) writeChunk(chunk []byte) error {
	b := k.store.db.NewBatch()
	key := binary.BigEndian.AppendUint32(numberKey(chunkKey, k.number), k.chunks)
	k.chunks++
	return errors.Join(b.Set(key, chunk, nil), k.store.write(b))
}

// Close implements raft.SnapshotSink: the snapshot takes the place of the one before, unless that is
// newer. It is read again first: it may have come over the network, and there will be no other.
func (k *snapshotSink) Close() error {
	if k.ended {
		return nil
	}
	k.ended = true
	if err := k.writeChunk(k.pending); err != nil {
		return err
	}
	s := k.store
	data, err := s.readSnapshot(k.snapshot)
	if err == nil {
		err = s.check(data)
	}
	if err != nil {
		return errors.Join(err, k.remove())
	}
	s.snapshots.Lock()
	defer s.snapshots.Unlock()
	old := s.snapshots.newest
	if old.meta != nil && old.meta.Index > k.meta.Index {
		return k.remove()
	}
	b := s.db.NewBatch()
	err = b.Set(numberKey(metaKey, k.number), appendMeta(nil, k.meta), nil)
	if old.meta != nil {
		err = errors.Join(err, b.Delete(numberKey(metaKey, old.number), nil),
			b.DeleteRange(numberKey(chunkKey, old.number), numberKey(chunkKey, old.number+1), nil))
	}
	if err = errors.Join(err, s.commit(b)); err != nil {
		return err
	}
	s.snapshots.newest = k.snapshot
	s.metrics.snapshots.Inc()
	s.metrics.snapshotBytes.Set(float64(k.meta.Size))
	return nil
}

// Cancel implements raft.SnapshotSink.
func (k *snapshotSink) Cancel() error {
	if k.ended {
		return nil
	}
	k.ended = true
	return k.remove()
}

func (k *snapshotSink) remove() error {
	b := k.store.db.NewBatch()
	return errors.Join(b.DeleteRange(numberKey(chunkKey, k.number), numberKey(chunkKey, k.number+1), nil), k.store.write(b))
}
