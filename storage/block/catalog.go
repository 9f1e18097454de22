package block

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/keys"
)

// List returns the parts that exist, in key order. Where parts of the store cannot be read, it
// returns those that can together with an error, which is marked with ErrCorrupt where bytes
// are damaged.
func List(db *pebble.DB) ([]Meta, error) {
	parts, err := allParts(db)
	errs := []error{err}
	var metas []Meta
	for _, p := range parts {
		h, err := readHeader(db, p)
		switch {
		case errors.Is(err, pebble.ErrNotFound):
			continue
		case err != nil:
			errs = append(errs, &HeaderError{Part: p, Err: markCorrupt(err)})
			continue
		}
		if h.Bytes, err = DiskUsage(db, p); err != nil {
			errs = append(errs, err)
		}
		metas = append(metas, h.Meta)
	}
	return metas, errors.Join(errs...)
}

// HeaderError is the error of List for a part of which all that can be read is its key.
type HeaderError struct {
	Part keys.Part
	Err  error
}

func (e *HeaderError) Error() string { return fmt.Sprintf("header of part %s: %s", e.Part, e.Err) }

func (e *HeaderError) Unwrap() error { return e.Err }

// Drop takes a part off the store; its space is free once no iterator holds it. The index goes
// first, all at once, and with it the part: after a crash in between, DropOrphans does the rest.
func Drop(ctx context.Context, db *pebble.DB, p keys.Part) error {
	for _, class := range []keys.Class{keys.Index, keys.Chunks} {
		start, end := keys.PartSpan(class, p)
		if err := db.Excise(ctx, pebble.KeyRange{Start: start, End: end}); err != nil {
			return fmt.Errorf("drop part %s: %w", p, err)
		}
	}
	return nil
}

// DropOrphans takes rows off the store that belong to no part: what a crash left of a Drop. Rows
// of a part whose header is there but cannot be read stay.
func DropOrphans(ctx context.Context, db *pebble.DB) error {
	parts, err := allParts(db)
	errs := []error{err}
	for _, p := range parts {
		if _, err := readHeader(db, p); errors.Is(err, pebble.ErrNotFound) {
			errs = append(errs, Drop(ctx, db, p))
		}
	}
	return errors.Join(errs...)
}

// Probe returns ErrCorrupt if the first rows of a part can't be read, which keep the parts from being listed. Where
// rows further on are damaged, whoever reads them finds that out.
func Probe(db *pebble.DB, p keys.Part) error {
	for _, class := range []keys.Class{keys.Index, keys.Chunks} {
		start, end := keys.PartSpan(class, p)
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
		if err != nil {
			return fmt.Errorf("probe part %s: %w", p, err)
		}
		it.First()
		if err := it.Close(); err != nil {
			return fmt.Errorf("probe part %s: %w", p, markCorrupt(err))
		}
	}
	return nil
}

// DiskUsage is what a part takes on disk, chunks and index.
func DiskUsage(db *pebble.DB, p keys.Part) (int64, error) {
	total := int64(0)
	for _, class := range []keys.Class{keys.Index, keys.Chunks} {
		start, end := keys.PartSpan(class, p)
		n, err := db.EstimateDiskUsage(start, end)
		if err != nil {
			return 0, fmt.Errorf("disk usage of part %s: %w", p, err)
		}
		total += int64(n)
	}
	return total, nil
}

// allParts returns every part that has rows of either class, so that one is found also when the
// first rows of its index, or of its chunks, are damaged.
func allParts(db *pebble.DB) ([]keys.Part, error) {
	fromIndex, indexErr := partsOf(db, keys.Index)
	fromChunks, chunksErr := partsOf(db, keys.Chunks)
	all := slices.Concat(fromIndex, fromChunks)
	slices.SortFunc(all, keys.Compare)
	return slices.Compact(all), errors.Join(indexErr, chunksErr)
}

// partsOf walks a class from part to part, one seek for each.
func partsOf(db *pebble.DB, class keys.Class) (parts []keys.Part, err error) {
	start, end := keys.ClassSpan(class)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return nil, fmt.Errorf("list parts: %w", err)
	}
	defer func() {
		if closeErr := it.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("list parts: %w", markCorrupt(closeErr))
		}
	}()
	for ok := it.First(); ok; {
		_, p, _, err := keys.ParsePart(it.Key())
		if err != nil {
			return parts, fmt.Errorf("list parts: %w: %w", ErrCorrupt, err)
		}
		parts = append(parts, p)
		_, behind := keys.PartSpan(class, p)
		ok = it.SeekGE(behind)
	}
	return parts, nil
}

func markCorrupt(err error) error {
	if pebble.IsCorruptionError(err) || errors.Is(err, errDecode) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}
