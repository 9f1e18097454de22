package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/changes"
)

// A part that is damaged fails every read of its time. Whoever can get its samples elsewhere sets it
// aside: it is not read any more, nor sealed, and stays on the disk, for it may still be the last
// that has some of them, until what it had is here again and it is dropped. It is listed again after
// a restart: what is set aside is for the caller to remember.

// aside are the parts that exist and are not on the list.
type aside struct {
	mu    sync.Mutex
	parts map[string]*part
}

// Created reports whether Open has found no store and made one. A log may have been there.
func (db *DB) Created() bool { return db.created }

// damaged tells of a part.
func (db *DB) damaged(m block.Meta, err error) {
	if f := db.opts.Events.Damaged; f != nil {
		f(DamageInfo{Part: m.Part.String(), Mint: m.MinT, Maxt: m.MaxT, Err: err})
	}
}

// unreadable sets those parts aside of which List says that it can't read what they are. They may be of
// a slot or a day.
func (db *DB) unreadable(err error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, err := range joined.Unwrap() {
		var bad *block.HeaderError
		if !errors.As(err, &bad) || !errors.Is(err, block.ErrCorrupt) {
			continue
		}
		start := floor(bad.Part.Start, dayMillis)
		m := block.Meta{Part: bad.Part, MinT: start, MaxT: start + dayMillis - 1}
		db.setAside(db.newPart(m))
		db.damaged(m, err)
	}
}

func (db *DB) setAside(p *part) {
	db.aside.mu.Lock()
	defer db.aside.mu.Unlock()
	if db.aside.parts == nil {
		db.aside.parts = map[string]*part{}
	}
	db.aside.parts[p.Meta().Part.String()] = p
}

// SetAside has a part, which Events.Damaged named, not read any more. One that does not exist is none
// already.
func (db *DB) SetAside(name string) error {
	if err := db.beginMaintenance(); err != nil {
		return err
	}
	defer db.maintenance.Unlock()
	for _, p := range db.parts.snapshot() {
		if p.Meta().Part.String() == name {
			db.setAside(p)
			db.parts.replace([]*part{p}, nil)
			db.changes.Add(changes.Span{Mint: p.Meta().MinT, Maxt: p.Meta().MaxT})
		}
	}
	return nil
}

// DropAside takes a part that was set aside off the disk.
func (db *DB) DropAside(ctx context.Context, name string) error {
	if err := db.beginMaintenance(); err != nil {
		return err
	}
	defer db.maintenance.Unlock()
	db.aside.mu.Lock()
	p := db.aside.parts[name]
	delete(db.aside.parts, name)
	db.aside.mu.Unlock()
	if p == nil {
		return nil
	}
	if err := db.settleLog([]*part{p}); err != nil {
		db.setAside(p)
		return fmt.Errorf("drop damaged part %s: %w", name, err)
	}
	db.supersede([]*part{p}, nil)
	return db.dropGone(ctx)
}
