package wal

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// found is what a log consists of: a base, which is a checkpoint or nothing at all, and the
// segments that follow it.
type found struct {
	base     *file
	segments []file
	damaged  []Damage // what made a newer checkpoint useless
	next     uint64   // above every number in use
}

// find reads the directory, chooses the base and removes what does not belong to it. There is
// something to choose only if a crash interrupted a checkpoint between its completion and the last
// removal: then what it replaced is still there in whole or in part. The newest checkpoint is taken
// unless it is damaged and an older base is complete. Since Checkpoint removes older checkpoints
// first, and older segments only when that is on disk, one base is complete at any time.
func find(dir directory) (found, error) {
	var f found
	if err := removeTemporaries(dir); err != nil {
		return f, err
	}
	checkpoints, err := dir.inspectAll(checkpointSuffix, checkpointFile)
	if err != nil {
		return f, err
	}
	segments, err := dir.inspectAll(segmentSuffix, segmentFile)
	if err != nil {
		return f, err
	}
	f.next = 1
	for _, c := range checkpoints {
		f.next = max(f.next, c.number)
	}
	for _, s := range segments {
		f.next = max(f.next, s.number+1)
	}
	if segments, err = removeUnborn(dir.fs, segments); err != nil {
		return f, err
	}
	if len(checkpoints) == 0 {
		f.segments = segments
		return f, nil
	}
	newest := checkpoints[len(checkpoints)-1]
	older := checkpoints[:len(checkpoints)-1]
	first := after(segments, newest.number)
	f.base, f.segments = &newest, segments[first:]
	if len(older) == 0 && first == 0 {
		return f, nil
	}
	d, err := verify(dir.fs, newest)
	if err != nil {
		return f, err
	}
	if d.Holes == 0 {
		return f, removeLeftovers(dir, newest.number)
	}
	if err := f.fallBack(dir.fs, older, segments); err != nil {
		return f, err
	}
	if f.base == nil || f.base.number != newest.number {
		f.damaged = append(f.damaged, d)
	}
	return f, nil
}

// fallBack takes the newest of the older bases that is complete, if there is one.
func (f *found) fallBack(fs vfs.FS, older, segments []file) error {
	for _, c := range slices.Backward(older) {
		rest := segments[after(segments, c.number):]
		if len(rest) == 0 || rest[0].number != c.number || !chained(rest) {
			continue
		}
		d, err := verify(fs, c)
		if err != nil {
			return err
		}
		if d.Holes == 0 {
			f.base, f.segments = &c, rest
			return nil
		}
	}
	if len(segments) > 0 && segments[0].header.prev.number == 0 && chained(segments) {
		f.base, f.segments = nil, segments
	}
	return nil
}

// after is the index of the first segment that a checkpoint does not cover.
func after(segments []file, checkpoint uint64) int {
	return slices.IndexFunc(append(slices.Clone(segments), file{number: checkpoint}), func(s file) bool {
		return s.number >= checkpoint
	})
}

// chained says whether each segment is the one that the next one names.
func chained(segments []file) bool {
	for i, s := range segments {
		if !s.whole || i > 0 && s.header.prev.number != segments[i-1].number {
			return false
		}
	}
	return true
}

// removeTemporaries removes checkpoints that were never completed.
func removeTemporaries(dir directory) error {
	numbers, err := dir.list(temporarySuffix)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if err := dir.fs.Remove(dir.temporary(n)); err != nil {
			return fmt.Errorf("remove unfinished checkpoint: %w", err)
		}
	}
	return nil
}

// removeUnborn removes segments whose header never got to disk, and that therefore never held a
// record. One that a later segment names was born, and is damaged.
func removeUnborn(fs vfs.FS, segments []file) ([]file, error) {
	named := map[uint64]bool{}
	for _, s := range segments {
		if s.whole {
			named[s.header.prev.number] = true
		}
	}
	born := make([]file, 0, len(segments))
	for _, s := range segments {
		if s.whole || s.size > firstRecord || named[s.number] {
			born = append(born, s)
			continue
		}
		if err := fs.Remove(s.path); err != nil {
			return nil, fmt.Errorf("remove unborn segment: %w", err)
		}
	}
	return born, nil
}

// removeLeftovers removes what the checkpoint with the number replaces: older checkpoints, then
// older segments. find relies on the order.
func removeLeftovers(dir directory, number uint64) error {
	for _, suffix := range []string{checkpointSuffix, segmentSuffix} {
		numbers, err := dir.list(suffix)
		if err != nil {
			return err
		}
		removed := false
		for _, n := range numbers {
			if n >= number {
				break
			}
			if err := dir.fs.Remove(dir.name(n, suffix)); err != nil {
				return fmt.Errorf("remove what checkpoint %d replaces: %w", number, err)
			}
			removed = true
		}
		if !removed {
			continue
		}
		if err := dir.sync(); err != nil {
			return fmt.Errorf("sync removal of what checkpoint %d replaces: %w", number, err)
		}
	}
	return nil
}
