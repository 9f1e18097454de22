package consensus

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/hashicorp/raft"
)

// fsm applies what Raft has agreed on to the states. Its methods are called by one goroutine at a
// time: the one that opens the group, then the one that Raft has for it.
type fsm struct {
	states  map[string]State
	max     int // bytes of a snapshot
	store   *store
	failure *failure
	changed func() // the servers may have changed

	broken   error  // After it nothing is applied any more.
	replayed uint64 // Entries up to this one were applied when the group was opened, and come again.
	seen     uint64 // the last entry that Raft has handed out
}

// result of a command that was applied.
type result []byte

// open brings the states to where they were when the node was last up.
func (f *fsm) open() error {
	m := f.store.snapshots.newest
	if m.meta != nil {
		data, err := f.store.readSnapshot(m)
		if err != nil {
			return err
		}
		if _, err := decodeStates(data); err != nil {
			return fmt.Errorf("%w: snapshot %s: %w", ErrDamaged, m.meta.ID, err)
		}
		if err := f.restore(data); err != nil {
			return fmt.Errorf("restore snapshot %s: %w", m.meta.ID, err)
		}
	}
	last := f.store.applied.Load()
	first := f.store.log.first
	if m.meta != nil {
		first = max(first, m.meta.Index+1)
		f.store.applied.Store(max(last, m.meta.Index))
	}
	for i := first; i != 0 && i <= last; i++ {
		var l raft.Log
		if err := f.store.GetLog(i, &l); err != nil {
			return err
		}
		if l.Type == raft.LogCommand {
			if _, err := f.perform(&l); err != nil {
				return err
			}
		}
		f.replayed = i
	}
	return nil
}

// Apply implements raft.FSM. The group ends with a command that can't be applied: there is no going
// on without it. Until it has, those that wait for what follows are told.
func (f *fsm) Apply(l *raft.Log) any {
	f.seen = l.Index
	if l.Index <= f.replayed {
		return nil
	}
	if f.broken != nil {
		return f.broken
	}
	r, err := f.perform(l)
	if err != nil {
		return f.breakDown(err)
	}
	f.store.noteApplied(l.Index)
	return r
}

func (f *fsm) breakDown(err error) error {
	f.broken = err
	f.failure.fail(err)
	return err
}

func (f *fsm) perform(l *raft.Log) (result, error) {
	name, command, err := decodeCommand(l.Data)
	if err != nil {
		return nil, fmt.Errorf("apply entry %d: %w", l.Index, err)
	}
	state, ok := f.states[name]
	if !ok {
		return nil, fmt.Errorf("apply entry %d: %w %q: is another node's software newer?", l.Index, ErrUnknownState, name)
	}
	if err := state.Reads(command); err != nil {
		return nil, fmt.Errorf("apply entry %d to %q: %w: is another node's software newer?", l.Index, name, err)
	}
	return state.Apply(command), nil
}

// StoreConfiguration implements raft.ConfigurationStore.
func (f *fsm) StoreConfiguration(index uint64, _ raft.Configuration) {
	f.seen = index
	if f.broken == nil {
		f.store.applied.Store(max(index, f.store.applied.Load()))
	}
	f.changed()
}

// Snapshot implements raft.FSM. While Raft hands out what Open has applied already, the states are
// ahead of where Raft believes them to be.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.broken != nil {
		return nil, f.broken
	}
	if f.seen < f.replayed {
		return nil, raft.ErrNothingNewToSnapshot
	}
	states := map[string][]byte{}
	total := 16
	for name, s := range f.states {
		data, err := s.Snapshot()
		if err != nil {
			return nil, fmt.Errorf("snapshot of %q: %w", name, err)
		}
		if total += len(name) + len(data) + 16; total > f.max {
			return nil, fmt.Errorf("snapshot of %q: %w: more than %d bytes", name, ErrTooLarge, f.max)
		}
		states[name] = data
	}
	return frozen(appendStates(make([]byte, 0, total), states)), nil
}

// frozen is an encoded snapshot.
type frozen []byte

// Persist implements raft.FSMSnapshot.
func (f frozen) Persist(sink raft.SnapshotSink) error {
	_, err := sink.Write(f)
	return err
}

// Release implements raft.FSMSnapshot.
func (frozen) Release() {}

// Restore implements raft.FSM, for a snapshot from the leader.
func (f *fsm) Restore(r io.ReadCloser) error {
	data, err := io.ReadAll(io.LimitReader(r, int64(f.max)+1))
	if err == nil {
		err = f.restore(data)
	}
	if err != nil {
		return f.breakDown(fmt.Errorf("restore a snapshot of the leader: %w", err))
	}
	f.replayed = 0
	if list, err := f.store.List(); err == nil && len(list) > 0 {
		f.store.applied.Store(max(list[0].Index, f.store.applied.Load()))
	}
	f.changed()
	return nil
}

// check says whether a snapshot can be restored as far as its bytes can tell. One that has states
// unknown here is from newer software, and the group ends.
func (f *fsm) check(data []byte) (map[string][]byte, error) {
	states, err := decodeStates(data)
	if err != nil {
		return nil, err
	}
	for name := range states {
		if f.states[name] == nil {
			err := fmt.Errorf("snapshot: %w %q: is another node's software newer?", ErrUnknownState, name)
			f.failure.fail(err)
			return nil, err
		}
	}
	return states, nil
}

// restore replaces all states or, with an error, none.
func (f *fsm) restore(data []byte) error {
	states, err := f.check(data)
	if err != nil {
		return err
	}
	before := map[string][]byte{}
	for _, name := range slices.Sorted(maps.Keys(f.states)) {
		old, err := f.states[name].Snapshot()
		if err == nil {
			err = f.states[name].Restore(states[name])
		}
		if err != nil {
			return errors.Join(fmt.Errorf("state %q: %w", name, err), f.undo(before))
		}
		before[name] = old
	}
	return nil
}

func (f *fsm) undo(before map[string][]byte) error {
	var errs []error
	for name, old := range before {
		if err := f.states[name].Restore(old); err != nil {
			errs = append(errs, fmt.Errorf("put state %q back: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
