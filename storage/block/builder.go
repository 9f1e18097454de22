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
// as sorted tables for Pebble to ingest. It keeps what it is given until Finish, label bytes and
// chunks as they are, and beside them about 80 bytes for each series.
//
// A Builder is for one goroutine.
type Builder struct {
	tables  tables
	meta    Meta
	entries []entry
}

// entry is a series on its way into a part.
type entry struct {
	fingerprint series.Fingerprint
	labels      series.Labels
	chunks      []chunk.Chunk
	metric      []byte // the metric name, a view of labels
}

// NewBuilder returns a builder of the part that meta names; of meta it takes Part, ShardBits and
// the flush mark. Its tables go into dir and are of the format that db is in.
func NewBuilder(fs vfs.FS, dir string, db *pebble.DB, meta Meta) *Builder {
	p := meta.Part
	return &Builder{
		tables: tables{
			fs: fs, dir: dir, format: db.TableFormat(),
			name: fmt.Sprintf("%s-%d-%d", p.Tier, p.Start, p.Seq),
		},
		meta: Meta{
			Part: p, ShardBits: meta.ShardBits,
			FlushedBefore: meta.FlushedBefore, FlushedSegment: meta.FlushedSegment,
		},
	}
}

// Add takes a series with its chunks, which must not change until Finish. Series may come in any
// order, and one may come several times.
func (b *Builder) Add(s chunk.Series) error {
	if len(s.Chunks) == 0 {
		return fmt.Errorf("add series %s: it has no chunks", s.Labels)
	}
	if len(b.entries) == math.MaxUint32 {
		return fmt.Errorf("add series %s: the part has %d already", s.Labels, len(b.entries))
	}
	if !slices.IsSortedFunc(s.Chunks, byStart) {
		s.Chunks = joinChunks(s.Chunks, nil)
	}
	b.entries = append(b.entries, entry{
		fingerprint: s.Fingerprint, labels: s.Labels, chunks: s.Chunks, metric: s.Labels.Get(model.MetricNameLabel),
	})
	return nil
}

// Finish writes the part and returns the tables to ingest, in one call, together with those of
// other parts if need be; the caller removes them in the end. After an error nothing is left on
// disk. The builder is used up either way.
func (b *Builder) Finish() ([]string, Meta, error) {
	err := b.write()
	b.entries = nil
	if err != nil {
		return nil, b.meta, errors.Join(fmt.Errorf("build part %s: %w", b.meta.Part, err), b.tables.remove())
	}
	b.meta.Bytes = b.tables.bytes
	return b.tables.paths, b.meta, nil
}

func (b *Builder) write() error {
	if len(b.entries) == 0 {
		return errors.New("it has no series")
	}
	if err := b.meta.Part.Validate(); err != nil {
		return err
	}
	if b.meta.ShardBits > maxShardBits {
		return fmt.Errorf("%d shard bits", b.meta.ShardBits)
	}
	b.order()
	h := b.number()
	if err := b.writeRows(); err != nil {
		return err
	}
	ix := newIndexWriter(&b.tables, h)
	if err := ix.collect(b.entries); err != nil {
		return err
	}
	if err := ix.write(b.entries); err != nil {
		return err
	}
	b.meta = h.Meta
	return nil
}

// order sorts the series by (shard, metric, labels) and joins those that came several times.
func (b *Builder) order() {
	bits := b.meta.ShardBits
	slices.SortFunc(b.entries, func(x, y entry) int {
		if c := cmp.Compare(x.fingerprint.Shard(bits), y.fingerprint.Shard(bits)); c != 0 {
			return c
		}
		if c := bytes.Compare(x.metric, y.metric); c != 0 {
			return c
		}
		return series.CompareBytes(x.labels, y.labels)
	})
	kept := b.entries[:1]
	for _, e := range b.entries[1:] {
		if last := &kept[len(kept)-1]; bytes.Equal(last.labels, e.labels) {
			last.chunks = joinChunks(last.chunks, e.chunks)
			continue
		}
		kept = append(kept, e)
	}
	clear(b.entries[len(kept):])
	b.entries = kept
}

func joinChunks(a, b []chunk.Chunk) []chunk.Chunk {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, byStart)
	return all
}

func byStart(x, y chunk.Chunk) int { return cmp.Compare(x.MinT, y.MinT) }

// number counts what the header says of the series, which are in order.
func (b *Builder) number() *header {
	h := &header{Meta: b.meta, starts: []uint32{0}}
	h.MinT, h.MaxT = math.MaxInt64, math.MinInt64
	for i := range b.entries {
		e := &b.entries[i]
		shard := e.fingerprint.Shard(h.ShardBits)
		if n := len(h.shards); n == 0 || h.shards[n-1] != shard {
			h.shards = append(h.shards, shard)
			h.starts = append(h.starts, uint32(i))
		}
		h.starts[len(h.starts)-1]++
		for _, c := range e.chunks {
			h.MinT, h.MaxT = min(h.MinT, c.MinT), max(h.MaxT, c.MaxT)
			h.Samples += int64(c.Samples)
			h.ChunkBytes += int64(len(c.Data))
		}
	}
	h.Series = int64(len(b.entries))
	return h
}

// writeRows writes the chunk rows into tables of their own.
func (b *Builder) writeRows() error {
	key := keys.AppendChunk(nil, b.meta.Part, 0, 0)
	var (
		row []byte
		err error
	)
	for i := range b.entries {
		e := &b.entries[i]
		keys.SetChunk(key, e.fingerprint.Shard(b.meta.ShardBits), uint32(i))
		if row, err = chunk.AppendRow(row[:0], e.chunks); err != nil {
			return fmt.Errorf("series %s: %w", e.labels, err)
		}
		if err := b.tables.set(key, row); err != nil {
			return err
		}
	}
	return b.tables.cut()
}
