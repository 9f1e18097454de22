package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/block"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// formatLine is the mark of a data directory.
type formatLine struct {
	Format    int `json:"format"`
	ShardBits int `json:"shard_bits"`
}

func (f formatLine) String() string {
	return fmt.Sprintf("format %d, %d shards", f.Format, 1<<f.ShardBits)
}

// tombstoneLine is a tombstone as it lies.
type tombstoneLine struct {
	Tombstone json.RawMessage `json:"tombstone"`
}

func (t tombstoneLine) String() string { return "tombstone: " + string(t.Tombstone) }

// droppedLine is a shard that was dropped.
type droppedLine struct {
	Dropped series.Shard `json:"dropped"`
	Before  uint32       `json:"before"`
}

func (d droppedLine) String() string {
	return fmt.Sprintf("shard %d was dropped from parts below %d", d.Dropped, d.Before)
}

// partLine is a part.
type partLine struct {
	Part           string   `json:"part"`
	Series         int64    `json:"series"`
	Samples        int64    `json:"samples"`
	MinT           int64    `json:"mint"`
	MaxT           int64    `json:"maxt"`
	RowBytes       int64    `json:"row_bytes"` // of chunks, before compression
	Bytes          int64    `json:"bytes"`
	FlushedBefore  int64    `json:"flushed_before"`
	FlushedSegment uint64   `json:"flushed_segment"`
	Replaces       []string `json:"replaces,omitempty"`
}

func (p partLine) String() string {
	s := fmt.Sprintf("part %s: %d series, %d samples [%d, %d], %d bytes on disk, %d of chunk rows; flushed before %d in segments before %d",
		p.Part, p.Series, p.Samples, p.MinT, p.MaxT, p.Bytes, p.RowBytes, p.FlushedBefore, p.FlushedSegment)
	if len(p.Replaces) > 0 {
		s += "; replaces " + strings.Join(p.Replaces, ", ")
	}
	return s
}

func (d *dump) printPart(m block.Meta) error {
	p := partLine{
		Part: m.Part.String(), Series: m.Series, Samples: m.Samples, MinT: m.MinT, MaxT: m.MaxT, RowBytes: m.ChunkBytes,
		Bytes: m.Bytes, FlushedBefore: m.FlushedBefore, FlushedSegment: m.FlushedSegment,
	}
	for _, r := range m.Replaces {
		p.Replaces = append(p.Replaces, r.String())
	}
	return d.print("part", p)
}

// withStore opens the directory's store for fn.
func (d *dump) withStore(fn func(*pebble.DB) error) error {
	db, err := openStore(d.fs, d.fs.PathJoin(d.path, "store"))
	if err != nil {
		return err
	}
	return errors.Join(fn(db), db.Close())
}

// dumpDirectory prints the node's own facts, the parts, and the files of the log.
func (d *dump) dumpDirectory() error {
	err := d.withStore(func(db *pebble.DB) error {
		if err := d.dumpFacts(db); err != nil {
			return err
		}
		metas, err := block.List(db)
		for _, m := range metas {
			if err := d.printPart(m); err != nil {
				return err
			}
		}
		if err != nil {
			return d.printDamage("store", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	dir := d.fs.PathJoin(d.path, "wal")
	names, err := d.fs.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if !strings.HasSuffix(name, ".wal") && !strings.HasSuffix(name, ".checkpoint") {
			continue
		}
		if err := d.weighLog(d.fs.PathJoin(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *dump) dumpFacts(db *pebble.DB) error {
	start, end := keys.ClassSpan(keys.Node)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return err
	}
	defer func() { _ = it.Close() }() // Its errors are in it.Error.
	for ok := it.First(); ok; ok = it.Next() {
		var err error
		_, notStone := keys.ParseTombstone(it.Key())
		switch v := it.Value(); {
		case bytes.Equal(it.Key(), keys.Format()) && len(v) == 2:
			err = d.print("format", formatLine{Format: int(v[0]), ShardBits: int(v[1])})
		case bytes.Equal(it.Key(), keys.Dropped()):
			err = d.dumpDropped(v)
		case notStone == nil && json.Valid(v):
			err = d.print("tombstone", tombstoneLine{bytes.Clone(v)})
		default:
			err = d.printDamage("store", fmt.Errorf("key %q with %d bytes", it.Key(), len(v)))
		}
		if err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return d.printDamage("store", err)
	}
	return nil
}

func (d *dump) dumpDropped(v []byte) error {
	bits := byte(0)
	if len(v) > 1 {
		bits = v[1]
	}
	all, err := storage.DecodeDropped(v, bits)
	if err != nil {
		return d.printDamage("store", err)
	}
	for _, s := range slices.Sorted(maps.Keys(all)) {
		if err := d.print("dropped", droppedLine{s, all[s]}); err != nil {
			return err
		}
	}
	return nil
}

// hidden returns the shards of a part that were dropped.
func hidden(db *pebble.DB, p keys.Part) (*series.ShardSet, error) {
	v, closer, err := db.Get(keys.Dropped())
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	if len(v) < 2 {
		return nil, errors.New("the row of dropped shards is too short")
	}
	all, err := storage.DecodeDropped(v, v[1])
	set := &series.ShardSet{Bits: v[1]}
	for s, before := range all {
		if p.Seq < before {
			set.Add(s)
		}
	}
	return set, err
}

// dumpPart prints one part: how large its sections are, and what was asked for of its rows.
func (d *dump) dumpPart() error {
	matchers, err := d.matchers()
	if err != nil {
		return err
	}
	return d.withStore(func(db *pebble.DB) error {
		metas, err := block.List(db)
		i := slices.IndexFunc(metas, func(m block.Meta) bool { return m.Part.String() == d.part })
		if i < 0 {
			return errors.Join(fmt.Errorf("there is no part %q that can be read", d.part), err)
		}
		if err := d.printPart(metas[i]); err != nil {
			return err
		}
		cache := block.NewCache(8<<20, nil)
		defer cache.Close()
		p := block.Open(metas[i], cache)
		if err := d.dumpIndex(db, p); err != nil {
			return err
		}
		if d.selector == "" {
			return nil
		}
		m := metas[i]
		dropped, err := hidden(db, m.Part)
		if err != nil {
			return d.printDamage("store", err)
		}
		p.Hide(dropped)
		all, err := p.Select(db, series.Selector{Mint: m.MinT, Maxt: m.MaxT, Matchers: matchers, Limit: d.limit})
		if err != nil {
			return d.printDamage(d.part, err)
		}
		for _, s := range all {
			if err := d.printSeries(s); err != nil {
				return err
			}
		}
		return nil
	})
}

// sectionLine says how much a kind of index rows takes.
type sectionLine struct {
	Section string `json:"section"`
	Rows    int    `json:"rows"`
	Bytes   int    `json:"bytes"` // before compression
}

func (s sectionLine) String() string {
	return fmt.Sprintf("  %s: %d rows, %d bytes", s.Section, s.Rows, s.Bytes)
}

// indexLine is an index row with its content.
type indexLine struct {
	Section string   `json:"section"`
	Name    string   `json:"name"`
	Bytes   int      `json:"bytes"`
	Content []string `json:"content,omitempty"`
}

func (r indexLine) String() string {
	s := fmt.Sprintf("  %s, %d bytes", strings.TrimSpace(r.Section+" "+r.Name), r.Bytes)
	for _, c := range r.Content {
		s += "\n    " + c
	}
	return s
}

func (d *dump) dumpIndex(db *pebble.DB, p *block.Part) error {
	var sections []sectionLine
	err := p.DumpIndex(db, d.index, func(r block.IndexRow) error {
		if n := len(sections); n == 0 || sections[n-1].Section != r.Section {
			sections = append(sections, sectionLine{Section: r.Section})
		}
		s := &sections[len(sections)-1]
		s.Rows, s.Bytes = s.Rows+1, s.Bytes+r.Bytes
		if r.Err != nil {
			return d.printDamage(strings.TrimSpace(d.part+" "+r.Section+" "+r.Name), r.Err)
		}
		if !d.index {
			return nil
		}
		return d.print("index", indexLine{Section: r.Section, Name: r.Name, Bytes: r.Bytes, Content: r.Content})
	})
	if err != nil {
		if err := d.printDamage(d.part, err); err != nil {
			return err
		}
	}
	for _, s := range sections {
		if err := d.print("section", s); err != nil {
			return err
		}
	}
	return nil
}

// seriesLine begins a series.
type seriesLine struct {
	Ref         string `json:"ref,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	Labels      string `json:"labels"`
}

func (s seriesLine) String() string { return "  " + s.Ref + s.Fingerprint + " " + s.Labels }

func (d *dump) printSeries(s chunk.Series) error {
	line := seriesLine{Fingerprint: fmt.Sprintf("%016x", uint64(s.Fingerprint)), Labels: s.Labels.String()}
	if err := d.print("series", line); err != nil {
		return err
	}
	for _, c := range s.Chunks {
		if err := d.printChunk(c, false, line.Labels); err != nil {
			return err
		}
	}
	return nil
}

func (d *dump) printChunk(c chunk.Chunk, open bool, where string) error {
	line, damage := d.describe(c, open)
	if err := d.print("chunk", line); err != nil {
		return err
	}
	if damage != nil {
		return d.printDamage(fmt.Sprintf("%s, chunk from %d on", where, c.MinT), damage)
	}
	return nil
}
