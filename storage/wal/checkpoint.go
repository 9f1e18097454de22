package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// checkpointSync is how many bytes of a checkpoint are handed to the disk early, so that its final
// sync does not hold up the log's for long.
const checkpointSync = 4 << 20

// Checkpoint replaces all segments before seg, which Cut returned, by the records that write
// emits: they must stand for everything in those segments. The checkpoint becomes valid as a whole,
// by a rename, and only then what it replaces is removed; a crash leaves the old state or the new.
// If write fails nothing has changed. Appending goes on meanwhile; checkpoints wait for each other.
func (w *WAL) Checkpoint(seg uint64, write func(emit func(record []byte) error) error) error {
	w.checkpointing <- struct{}{}
	defer func() { <-w.checkpointing }()
	begin := time.Now()
	if err := w.mayCheckpoint(seg); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	info := CheckpointInfo{Segment: seg}
	if err := w.writeCheckpoint(&info, write); err != nil {
		return fmt.Errorf("write checkpoint %d: %w", seg, err)
	}
	info.SegmentsRemoved = w.forget(seg)
	if err := removeLeftovers(w.dir, seg); err != nil {
		return err
	}
	info.Duration = time.Since(begin)
	w.metrics.checkpoints.Observe(info.Duration.Seconds())
	if f := w.opts.Events.Checkpointed; f != nil {
		f(info)
	}
	return nil
}

// mayCheckpoint refuses a number that no segment bears, and a log that is lost: what it holds may
// be less than what the checkpoint's writer believes.
func (w *WAL) mayCheckpoint(seg uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.mu.err, ErrFailed) {
		return w.mu.err
	}
	if !slices.ContainsFunc(w.mu.segments, func(s segment) bool { return s.number == seg }) {
		return fmt.Errorf("there is no segment %d", seg)
	}
	return nil
}

// writeCheckpoint makes a complete and durable file.
func (w *WAL) writeCheckpoint(info *CheckpointInfo, write func(emit func(record []byte) error) error) error {
	fs, temporary := w.dir.fs, w.dir.temporary(info.Segment)
	err := w.fillCheckpoint(temporary, info, write)
	if err == nil {
		err = fs.Rename(temporary, w.dir.checkpoint(info.Segment))
	}
	if err != nil {
		if _, statErr := fs.Stat(temporary); statErr == nil {
			err = errors.Join(err, fs.Remove(temporary))
		}
		if passing(err) {
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		return err
	}
	return w.dir.sync()
}

func (w *WAL) fillCheckpoint(path string, info *CheckpointInfo, write func(emit func(record []byte) error) error) error {
	out, err := create(w.dir.fs, path, fileHeader{kind: checkpointFile, number: info.Segment}, nil)
	if err != nil {
		return err
	}
	out.file = vfs.NewSyncingFile(out.file, vfs.SyncingFileOptions{BytesPerSync: checkpointSync})
	var rec []byte
	emit := func(kind Kind, payload []byte) error {
		if len(payload) > maxPayload {
			return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(payload), maxPayload)
		}
		rec = append(appendOpen(rec[:0], kind, payload), payload...)
		out.synced = out.at // None of it counts before all of it is on disk.
		return out.put(rec)
	}
	err = write(func(record []byte) error {
		info.Records++
		return emit(KindCheckpoint, record)
	})
	if err == nil {
		err = emit(kindEnd, binary.LittleEndian.AppendUint64(nil, uint64(info.Records)))
	}
	if err == nil {
		err = out.flush()
	}
	if err == nil {
		err = out.file.Sync()
	}
	info.Bytes = out.at
	if closeErr := out.file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// forget drops the segments before seg from the list and returns how many they were.
func (w *WAL) forget(seg uint64) int {
	w.mu.Lock()
	before := len(w.mu.segments)
	w.mu.segments = slices.DeleteFunc(w.mu.segments, func(s segment) bool { return s.number < seg })
	removed := before - len(w.mu.segments)
	w.mu.Unlock()
	w.gauge()
	return removed
}
