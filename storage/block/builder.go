package block

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/common/model"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// Builder writes a part: it collects series, puts them in order, and writes chunk rows and index
// as sorted tables for Pebble to ingest. It keeps what it is given until Spill or Finish, label bytes
// and chunks as they are, and beside them about 100 bytes for each series, 16 for each chunk; of those behind a Spill
// some 15 bytes each and their symbols and postings. A part may so be much larger than the memory.
//
// A Builder is for one goroutine.
type Builder struct {
	tables  tables
	header  *header
	times   *timesWriter
	entries []entry // since the last Spill
	index   *collector
	key     []byte
	row     []byte
}

// entry is a series on its way into a part.
type entry struct {
	fingerprint series.Fingerprint
	labels      series.Labels
	chunks      []chunk.Chunk
	metric      []byte // the metric name, a view of labels
}

// NewBuilder returns a builder of the part that meta names; of meta it takes Part, ShardBits, the
// flush mark and Replaces. Its tables go into dir and are of the format that db is in.
func NewBuilder(fs vfs.FS, dir string, db *pebble.DB, meta Meta) *Builder {
	p := meta.Part
	return &Builder{
		times: newTimesWriter(),
		tables: tables{
			fs: fs, dir: dir, format: db.TableFormat(), large: shardTableBytes,
			name: fmt.Sprintf("%s-%d-%d", p.Tier, p.Start, p.Seq),
		},
		index: newCollector(),
		header: &header{starts: []uint32{0}, Meta: Meta{
			Part: p, ShardBits: meta.ShardBits, MinT: math.MaxInt64, MaxT: math.MinInt64,
			FlushedBefore: meta.FlushedBefore, FlushedSegment: meta.FlushedSegment, Replaces: meta.Replaces,
		}},
	}
}

// Add takes a series with its chunks, which must not change until Spill or Finish. Series may come in any
// order, and one may come several times.
func (b *Builder) Add(s chunk.Series) error {
	if len(s.Chunks) == 0 {
		return fmt.Errorf("add series %s: it has no chunks", s.Labels)
	}
	if n := b.header.Series + int64(len(b.entries)); n >= math.MaxUint32 {
		return fmt.Errorf("add series %s: the part has %d already", s.Labels, n)
	}
	if !slices.IsSortedFunc(s.Chunks, byStart) {
		s.Chunks = joinChunks(s.Chunks, nil)
	}
	b.entries = append(b.entries, entry{
		fingerprint: s.Fingerprint, labels: s.Labels, chunks: s.Chunks, metric: s.Labels.Get(model.MetricNameLabel),
	})
	return nil
}

// Spill writes the chunks of the series added since the last call, whose shards must be above those
// of all series before, and lets the series go. After an error nothing is left on disk and the
// builder is used up.
func (b *Builder) Spill() error {
	if err := b.spill(); err != nil {
		return b.fail(err)
	}
	return nil
}

// Finish writes the part and returns the tables to ingest, in one call, together with those of
// other parts if need be; the caller removes them in the end. After an error nothing is left on
// disk. The builder is used up either way.
func (b *Builder) Finish() ([]string, Meta, error) {
	if err := b.write(); err != nil {
		return nil, b.header.Meta, b.fail(err)
	}
	b.entries, b.index = nil, nil
	b.header.Bytes = b.tables.bytes
	return b.tables.paths, b.header.Meta, nil
}

// Discard gives the part up: nothing is left on disk, and the builder is used up.
func (b *Builder) Discard() error {
	b.entries, b.index = nil, nil
	return b.tables.remove()
}

func (b *Builder) fail(err error) error {
	return errors.Join(fmt.Errorf("build part %s: %w", b.header.Part, err), b.Discard())
}

func (b *Builder) write() error {
	if len(b.entries) == 0 && b.header.Series == 0 {
		return errors.New("it has no series")
	}
	if err := b.spill(); err != nil {
		return err
	}
	if err := b.tables.cut(); err != nil {
		return err
	}
	return newIndexWriter(&b.tables, b.header, b.index, b.times).write()
}

func (b *Builder) spill() error {
	if err := b.check(); err != nil || len(b.entries) == 0 {
		return err
	}
	b.order()
	if err := b.times.survey(b.entries); err != nil {
		return err
	}
	b.key = keys.AppendChunk(b.key[:0], b.header.Part, 0, 0)
	for i := range b.entries {
		e, ordinal := &b.entries[i], uint32(b.header.Series)
		if b.count(e, ordinal) {
			if err := b.tables.cutLarge(); err != nil {
				return err
			}
		}
		if err := b.writeRow(e, ordinal); err != nil {
			return err
		}
		if err := b.index.add(e.labels); err != nil {
			return err
		}
	}
	clear(b.entries)
	b.entries = b.entries[:0]
	return nil
}

func (b *Builder) check() error {
	h := b.header
	if err := h.Part.Validate(); err != nil {
		return err
	}
	if h.ShardBits > maxShardBits {
		return fmt.Errorf("%d shard bits", h.ShardBits)
	}
	if len(h.Replaces) > MaxReplaces {
		return fmt.Errorf("it replaces %d parts", len(h.Replaces))
	}
	if n := len(h.shards); n > 0 {
		for _, e := range b.entries {
			if s := e.fingerprint.Shard(h.ShardBits); s <= h.shards[n-1] {
				return fmt.Errorf("series %s of shard %d comes after shard %d", e.labels, s, h.shards[n-1])
			}
		}
	}
	return nil
}

// order sorts the new series by (shard, metric, labels) and joins those that came several times.
func (b *Builder) order() {
	bits, added := b.header.ShardBits, b.entries
	slices.SortFunc(added, func(x, y entry) int {
		if c := cmp.Compare(x.fingerprint.Shard(bits), y.fingerprint.Shard(bits)); c != 0 {
			return c
		}
		if c := bytes.Compare(x.metric, y.metric); c != 0 {
			return c
		}
		return series.CompareBytes(x.labels, y.labels)
	})
	kept := added[:1]
	for _, e := range added[1:] {
		if last := &kept[len(kept)-1]; bytes.Equal(last.labels, e.labels) {
			last.chunks = joinChunks(last.chunks, e.chunks)
			continue
		}
		kept = append(kept, e)
	}
	clear(added[len(kept):])
	b.entries = kept
}

func joinChunks(a, b []chunk.Chunk) []chunk.Chunk {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, byStart)
	return all
}

func byStart(x, y chunk.Chunk) int { return cmp.Compare(x.MinT, y.MinT) }

// count adds a series to what the header says, and reports whether it is the first of its shard. Series
// come in order.
func (b *Builder) count(e *entry, ordinal uint32) (first bool) {
	h := b.header
	shard := e.fingerprint.Shard(h.ShardBits)
	if n := len(h.shards); n == 0 || h.shards[n-1] != shard {
		first = true
		h.shards = append(h.shards, shard)
		h.starts = append(h.starts, ordinal)
	}
	h.starts[len(h.starts)-1]++
	for _, c := range e.chunks {
		h.MinT, h.MaxT = min(h.MinT, c.MinT), max(h.MaxT, c.MaxT)
		h.Samples += int64(c.Samples)
	}
	h.Series++
	return first
}

func (b *Builder) writeRow(e *entry, ordinal uint32) error {
	keys.SetChunk(b.key, e.fingerprint.Shard(b.header.ShardBits), ordinal)
	columns, err := b.times.columnsOf(e.chunks)
	if err != nil {
		return fmt.Errorf("series %s: %w", e.labels, err)
	}
	row, err := chunk.AppendRow(b.row[:0], e.chunks, columns)
	if err != nil {
		return fmt.Errorf("series %s: %w", e.labels, err)
	}
	b.row = row
	b.header.ChunkBytes += int64(len(row))
	return b.tables.set(b.key, row)
}
