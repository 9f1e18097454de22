package block

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	// checkEvery is the number of series between two calls of Take(0).
	checkEvery = 1024
	// rowSkip is up to how many chunk rows are stepped over; beyond, seeking costs less.
	rowSkip = 16
	// blockSkip is the same for the blocks of the index, which are larger.
	blockSkip = 3
)

// readFingerprints puts the fingerprints of all ordinals into the result, and drops the series
// that are not of the shards asked for.
func (s *selection) readFingerprints() error {
	rows, err := s.part.blocks(s.reader, keys.Fingerprints)
	if err != nil {
		return err
	}
	defer rows.close()
	for i, ordinal := range s.ordinals {
		block, err := rows.at(ordinal >> fingerprintBits)
		if err != nil {
			return err
		}
		f, ok := fingerprintAt(block, ordinal%fingerprintsPerBlock)
		if !ok {
			return s.part.readError("fingerprints", decodeErrorf("no fingerprint for series %d", ordinal))
		}
		s.result[i].Fingerprint = f
	}
	if s.sel.Shards != nil && s.sel.Shards.Bits > s.header.ShardBits {
		s.keep(func(i int) bool { return s.sel.Shards.Has(s.result[i].Fingerprint) })
	}
	return nil
}

// keep leaves the series for which is returns true.
func (s *selection) keep(is func(i int) bool) {
	n := 0
	for i := range s.ordinals {
		if is(i) {
			s.ordinals[n], s.result[n] = s.ordinals[i], s.result[i]
			n++
		}
	}
	s.truncate(n)
}

// readChunks reads the chunk rows of the ordinals, keeps the chunks that overlap the time range,
// and leaves only the series that have some, up to the limit.
func (s *selection) readChunks() error {
	rows, err := s.part.chunkRows(s.reader, s.header, s.ordinals)
	if err != nil {
		return err
	}
	defer rows.close()
	var (
		limit  = s.limit()
		data   = arena[byte]{take: s.take}
		chunks = arena[chunk.Chunk]{take: s.take}
		found  []chunk.Chunk
		n      int
	)
	data.expect(limit * int(s.header.ChunkBytes/s.header.Series+1))
	chunks.expect(limit * 2)
	for i, ordinal := range s.ordinals {
		if n == limit {
			break
		}
		if i%checkEvery == 0 {
			if err := s.take(0); err != nil {
				return err
			}
		}
		row, err := rows.at(ordinal)
		if err != nil {
			return err
		}
		if found, err = chunk.DecodeRow(found[:0], row); err != nil {
			return s.part.readError("chunks", decodeErrorf("row of series %d: %v", ordinal, err))
		}
		kept, err := s.keepChunks(&chunks, &data, found)
		if err != nil {
			return err
		}
		if len(kept) > 0 {
			s.ordinals[n], s.result[n] = ordinal, s.result[i]
			s.result[n].Chunks = kept
			n++
		}
	}
	s.truncate(n)
	s.part.cache.metrics.selectedRows.Add(float64(rows.read))
	return nil
}

// keepChunks copies the chunks that overlap the time range.
func (s *selection) keepChunks(
	chunks *arena[chunk.Chunk], data *arena[byte], found []chunk.Chunk,
) ([]chunk.Chunk, error) {
	n, size := 0, 0
	for _, c := range found {
		if c.MinT <= s.sel.Maxt && c.MaxT >= s.sel.Mint {
			found[n] = c
			n++
			size += len(c.Data)
		}
	}
	if n == 0 {
		return nil, nil
	}
	kept, err := chunks.clone(found[:n])
	if err != nil {
		return nil, err
	}
	bytes, err := data.alloc(size)
	if err != nil {
		return nil, err
	}
	for i := range kept {
		from := len(bytes)
		bytes = append(bytes, kept[i].Data...)
		kept[i].Data = bytes[from:len(bytes):len(bytes)]
	}
	s.part.cache.metrics.selectedBytes.Add(float64(size))
	return kept, nil
}

// readLabels puts the labels of all ordinals into the result.
func (s *selection) readLabels() error {
	rows, err := s.part.blocks(s.reader, keys.Labels)
	if err != nil {
		return err
	}
	defer rows.close()
	text := newLabelReader(s.part, s.reader, s.header)
	data := arena[byte]{take: s.take}
	data.expect(len(s.ordinals) * 128)
	for i, ordinal := range s.ordinals {
		if i%checkEvery == 0 {
			if err := s.take(0); err != nil {
				return err
			}
		}
		block, err := rows.at(ordinal / rowsPerBlock)
		if err != nil {
			return err
		}
		ls, err := text.labels(block, ordinal)
		if err != nil {
			return err
		}
		kept, err := data.clone(ls)
		if err != nil {
			return err
		}
		s.result[i].Labels = series.Labels(kept)
	}
	return nil
}

// rowReader reads rows of which each has a number, in ascending order, by one iterator. There is a
// row for each number, so that the next one is so many steps away.
type rowReader struct {
	part  *Part
	what  string
	it    *pebble.Iterator
	key   []byte
	name  func(key []byte, n uint32) // puts n into key
	skip  uint32                     // step over up to so many rows
	read  int
	first bool
	last  uint32
	value []byte
}

// chunkRows reads chunk rows by ordinal, from the first of ordinals to the last.
func (p *Part) chunkRows(r pebble.Reader, h *header, ordinals []uint32) (*rowReader, error) {
	shard := h.shardAt(ordinals[0])
	key := keys.AppendChunk(nil, p.meta.Part, h.shards[shard], ordinals[0])
	last := ordinals[len(ordinals)-1]
	end := append(keys.AppendChunk(nil, p.meta.Part, h.shards[h.shardAt(last)], last), 0)
	it, err := p.scan(r, bytes.Clone(key), end)
	if err != nil {
		return nil, err
	}
	return &rowReader{part: p, what: "chunks", it: it, key: key, skip: rowSkip, first: true,
		name: func(key []byte, n uint32) {
			for n >= h.starts[shard+1] {
				shard++
			}
			keys.SetChunk(key, h.shards[shard], n)
		}}, nil
}

// blocks reads the blocks of a section of the index.
func (p *Part) blocks(r pebble.Reader, s keys.Section) (*rowReader, error) {
	start, end := keys.SectionSpan(p.meta.Part, s)
	it, err := p.scan(r, start, end)
	if err != nil {
		return nil, err
	}
	return &rowReader{part: p, what: fmt.Sprintf("index section %d", s), it: it, skip: blockSkip, first: true,
		key:  keys.AppendBlock(nil, p.meta.Part, s, 0),
		name: keys.SetBlock}, nil
}

// close gives the iterator back. Its errors were seen when it was used.
func (r *rowReader) close() { _ = r.it.Close() }

// at returns row n, which is not before the last one asked for. It is valid until the next call.
func (r *rowReader) at(n uint32) ([]byte, error) {
	if !r.first && n == r.last {
		return r.value, nil
	}
	r.name(r.key, n)
	ok := true
	if r.first || n-r.last > r.skip {
		ok = r.it.SeekGE(r.key)
	} else {
		for ; ok && r.last < n; r.last++ {
			ok = r.it.Next()
		}
	}
	r.first, r.last = false, n
	if err := r.it.Error(); err != nil {
		return nil, r.part.readError(r.what, err)
	}
	if !ok || !bytes.Equal(r.it.Key(), r.key) {
		return nil, r.part.readError(r.what, decodeErrorf("row %d is missing", n))
	}
	value, err := r.it.ValueAndErr()
	if err != nil {
		return nil, r.part.readError(r.what, err)
	}
	r.read++
	r.value = value
	return value, nil
}
