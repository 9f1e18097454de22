package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/wal"
)

// Refs appends to dst the reference of each label set, creating the series that are missing. The
// new ones are in the log before anyone can use them, and durable once any later Append is.
func (db *DB) Refs(_ context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error) {
	if err := db.writable(); err != nil {
		return dst, err
	}
	db.barrier.RLock()
	defer db.barrier.RUnlock()
	dst, err := db.head.Refs(dst, sets, func(defs []frame.SeriesDef) error {
		_, err := db.log(&frame.Frame{Series: defs})
		return err
	})
	if err != nil {
		return dst, fmt.Errorf("create series: %w", db.writeError(err))
	}
	return dst, nil
}

// Find appends to dst the reference of each label set, zero where there is no such series.
func (db *DB) Find(dst []series.Ref, sets []series.Labels) []series.Ref {
	return db.head.Find(dst, sets)
}

// Append takes the samples of f and returns when they are durable in the sense of
// Options.WALSync. What was not taken is in the result; the error is of the whole frame, which
// may be sent again: samples are idempotent. f may be reused afterwards.
func (db *DB) Append(ctx context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	if err := db.writable(); err != nil {
		return nil, err
	}
	rejected, err := db.append(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("append frame: %w", db.writeError(err))
	}
	return rejected, nil
}

func (db *DB) append(ctx context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	if err := db.wal.Enter(); err != nil {
		return nil, err
	}
	defer db.wal.Leave()
	pos, rejected, err := db.apply(f)
	if err != nil {
		return nil, err
	}
	return rejected, db.wal.Wait(ctx, pos)
}

// apply writes f to the log and to the head, as one step for whoever cuts the log.
func (db *DB) apply(f *frame.Frame) (wal.Pos, []frame.Rejected, error) {
	db.barrier.RLock()
	defer db.barrier.RUnlock()
	pos, err := db.log(f)
	if err != nil {
		return pos, nil, err
	}
	return pos, db.head.Append(f), nil
}

// log writes f to the log. The encoder has one frame after the other appended, since what a frame
// says builds on those before it.
func (db *DB) log(f *frame.Frame) (pos wal.Pos, err error) {
	err = db.encoder.Encode(f, func(record []byte) (err error) {
		pos, err = db.wal.Append(KindFrame, record)
		return err
	})
	return pos, err
}

func (db *DB) writable() error {
	switch {
	case db.closed.Load():
		return ErrClosed
	case db.full.Load():
		db.metrics.refused.Inc()
		return ErrFull
	}
	return nil
}

// writeError turns the log's errors into this package's.
func (db *DB) writeError(err error) error {
	switch {
	case errors.Is(err, wal.ErrFull):
		db.setFull(true, 0)
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, wal.ErrFailed):
		return fmt.Errorf("%w: %w", ErrFailed, err)
	case errors.Is(err, wal.ErrStalled):
		return fmt.Errorf("%w: %w", ErrStalled, err)
	case errors.Is(err, wal.ErrClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return err
}
