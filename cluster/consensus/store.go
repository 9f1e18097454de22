package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"

	"github.com/barograph-db/barograph/cluster/placement"
)

// The first byte of a key says what the row is.
const (
	aboutKey   = 'a' // version and owner
	writesKey  = 'b' // how many writes were made
	appliedKey = 'c' // the last entry that was applied when the log was last written
	chunkKey   = 'd' // number of a snapshot, number of the chunk: bytes of it
	stableKey  = 'k' // a name: one of Raft's values
	entryKey   = 'l' // index: an entry of the log
	metaKey    = 'm' // number of a snapshot: what it is
)

// store is the log, the stable values and the snapshots of one node.
type store struct {
	db      *pebble.DB
	opts    *Options
	failure *failure
	metrics *metrics
	check   func(snapshot []byte) error // before it becomes the only one
	// applied is the last entry that was applied, as far as entries are for the states. It is
	// written along with entries; what was applied was committed.
	applied atomic.Uint64

	// use is held shared while Pebble is used, for close to wait.
	use struct {
		sync.RWMutex
		closed bool
	}
	// committing is held while something is written and its number kept by the witness.
	committing struct {
		sync.Mutex
		witness *witness
		writes  uint64
	}
	// writing is held while the log is written, to disk and here; snapshots likewise.
	writing sync.Mutex
	log     struct {
		sync.Mutex
		first, last uint64 // 0 if there are none
	}
	snapshots struct {
		sync.Mutex
		next   uint64 // number
		newest snapshot
	}
}

func openStore(o *Options, f *failure, m *metrics) (*store, error) {
	if err := errors.Join(o.FS.MkdirAll(o.Dir, 0o750), syncDir(o.FS, o.FS.PathDir(o.Dir))); err != nil {
		return nil, fmt.Errorf("open store of consensus: %w", err)
	}
	db, err := pebble.Open(o.FS.PathJoin(o.Dir, "store"), pebbleOptions(o.FS, o.Logger))
	if err != nil {
		return nil, fmt.Errorf("open store of consensus in %s: %w", o.Dir, damaged(err))
	}
	s := &store{db: db, opts: o, failure: f, metrics: m}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open store of consensus in %s: %w", o.Dir, damaged(err)), s.close())
	}
	return s, nil
}

// damaged marks Pebble's own word for it.
func damaged(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// load looks at all there is: it is little.
func (s *store) load() error {
	if err := s.loadWrites(); err != nil {
		return err
	}
	if err := s.loadAbout(); err != nil {
		return err
	}
	if err := s.loadSnapshot(); err != nil {
		return err
	}
	lastTerm, err := s.loadLog()
	if err != nil {
		return err
	}
	if err := s.dropCovered(); err != nil {
		return err
	}
	term, err := s.GetUint64([]byte("CurrentTerm"))
	if err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	snap := s.snapshots.newest.meta
	switch first := s.log.first; {
	case term < lastTerm, snap != nil && term < snap.Term:
		return fmt.Errorf("%w: term %d is older than what is stored", ErrDamaged, term)
	case first > 1 && (snap == nil || snap.Index < first-1):
		return fmt.Errorf("%w: there is nothing before entry %d", ErrDamaged, first)
	}
	return s.loadApplied()
}

// loadWrites checks that no write was lost.
func (s *store) loadWrites() (err error) {
	if s.committing.writes, err = s.number(writesKey); err != nil {
		return err
	}
	s.committing.witness, err = openWitness(s.opts.FS, s.opts.Dir, s.committing.writes)
	return err
}

// number reads a row that is one, 0 if there is none.
func (s *store) number(key byte) (uint64, error) {
	v, err := s.get([]byte{key})
	switch {
	case errors.Is(err, errNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(v) != 8:
		return 0, fmt.Errorf("%w: a number of %d bytes", ErrDamaged, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

// loadAbout checks whose the store is, or writes it into an empty one.
func (s *store) loadAbout() error {
	about := append([]byte{version}, s.opts.ID[:]...)
	got, err := s.get([]byte{aboutKey})
	switch {
	case errors.Is(err, errNotFound):
		return s.found(about)
	case err != nil:
		return err
	case len(got) == 0 || got[0] != version:
		return fmt.Errorf("version %d, not %d", got[:min(1, len(got))], version)
	case len(got) != len(about):
		return fmt.Errorf("%w: its owner has %d bytes", ErrDamaged, len(got))
	case !slices.Equal(got, about):
		return fmt.Errorf("it belongs to node %s, not to %s", placement.NodeID(got[1:]), s.opts.ID)
	}
	return nil
}

func (s *store) found(about []byte) error {
	empty := true
	if err := s.scan(nil, nil, func(_, _ []byte) error { empty = false; return nil }); err != nil {
		return err
	}
	if !empty {
		return fmt.Errorf("%w: it has no owner", ErrDamaged)
	}
	b := s.db.NewBatch()
	return errors.Join(b.Set([]byte{aboutKey}, about, nil), s.commit(b))
}

func (s *store) loadApplied() error {
	applied, err := s.number(appliedKey)
	s.applied.Store(min(applied, s.log.last))
	return err
}

// close waits for whoever uses the store.
func (s *store) close() error {
	s.use.Lock()
	defer s.use.Unlock()
	if s.use.closed {
		return nil
	}
	s.use.closed = true
	err := s.db.Close()
	if w := s.committing.witness; w != nil {
		err = errors.Join(err, w.close())
	}
	return err
}

// enter begins a use of Pebble that leave ends.
func (s *store) enter() error {
	s.use.RLock()
	if s.use.closed {
		s.use.RUnlock()
		return ErrClosed
	}
	return nil
}

func (s *store) leave() { s.use.RUnlock() }

// commit writes b, synced, and has it witnessed.
func (s *store) commit(b *pebble.Batch) error {
	s.committing.Lock()
	defer s.committing.Unlock()
	n := s.committing.writes + 1
	if err := b.Set([]byte{writesKey}, binary.BigEndian.AppendUint64(nil, n), nil); err != nil {
		return err
	}
	return s.attempt(func() error {
		w := s.committing.witness
		if err := w.create(s.opts.FS, s.opts.Dir); err != nil {
			return err
		}
		if err := b.Commit(pebble.Sync); err != nil {
			return err
		}
		s.committing.writes = n
		return errors.Join(w.set(n), b.Close())
	})
}

// write writes b, which is on disk once something is committed after it.
func (s *store) write(b *pebble.Batch) error {
	return s.attempt(func() error {
		if err := b.Commit(pebble.NoSync); err != nil {
			return err
		}
		return b.Close()
	})
}

// attempt writes by f. After an error nobody knows what is on disk, so there is no second try.
func (s *store) attempt(f func() error) (err error) {
	if err := s.failure.get(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(fatal)
			if !ok {
				panic(p)
			}
			err = f.error
		}
		if err != nil {
			err = fmt.Errorf("write the store of consensus: %w", err)
			s.failure.fail(err)
		}
	}()
	return f()
}

// get returns a copy of a row, or errNotFound.
func (s *store) get(key []byte) ([]byte, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	v, closer, err := s.db.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return nil, errNotFound
	case err != nil:
		return nil, damaged(err)
	}
	return append([]byte{}, v...), closer.Close()
}

// scan calls f with the rows from one key up to another, whose bytes f may not keep.
func (s *store) scan(from, to []byte, f func(key, value []byte) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return damaged(err)
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			err = f(it.Key(), v)
		}
	}
	return damaged(errors.Join(err, it.Error(), it.Close()))
}

func numberKey(kind byte, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{kind}, n) }

// keyNumber reads what numberKey writes.
func keyNumber(key []byte) (uint64, error) {
	if len(key) != 9 {
		return 0, fmt.Errorf("%w: key %x", ErrDamaged, key)
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

// halting is the store as Raft gets it. Raft panics when it cannot keep its term or vote, or read
// its log; so instead of saying so the goroutine that asked ends here, and the failure ends the rest.
type halting struct{ *store }

func (h halting) halt(err error) {
	h.failure.fail(err)
	runtime.Goexit()
}

func (h halting) Set(key, value []byte) error {
	if err := h.store.Set(key, value); err != nil {
		h.halt(err)
	}
	return nil
}

func (h halting) SetUint64(key []byte, value uint64) error {
	if err := h.store.SetUint64(key, value); err != nil {
		h.halt(err)
	}
	return nil
}

func (h halting) GetLog(index uint64, l *raft.Log) error {
	err := h.store.GetLog(index, l)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		h.halt(err)
	}
	return err
}
