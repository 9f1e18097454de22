package block

import (
	"bytes"
	"errors"
	"fmt"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
)

const (
	// checkEvery is the number of series between two calls of Take(0).
	checkEvery = 1024
	// rowSkip is up to how many chunk rows are stepped over; beyond, seeking costs less.
	rowSkip = 16
	// blockSkip is the same for the blocks of the index, which are larger.
	blockSkip = 3
)

// readLabels reads the labels of the picks, and leaves those of the shards asked for; with SkipChunks up
// to the limit.
func (s *selection) readLabels() error {
	rows, err := s.part.blocks(s.reader, keys.Labels)
	if err != nil {
		return err
	}
	defer rows.close()
	shards, limit := s.sel.Shards, len(s.picks)
	if shards != nil && shards.Bits <= s.header.ShardBits {
		shards = nil // The ordinals were enough to tell.
	}
	if s.sel.SkipChunks {
		limit = s.limit()
	}
	if err := s.take(int64(limit) * int64(unsafe.Sizeof(chunk.Series{}))); err != nil {
		return err
	}
	s.result = make([]chunk.Series, 0, limit)
	known := s.newKnownLabels(rows)
	shard := 0
	for i := 0; i < len(s.picks) && len(s.result) < limit; i++ {
		if i%checkEvery == 0 {
			if err := s.take(0); err != nil {
				return err
			}
		}
		p := s.picks[i]
		for p.ordinal >= s.header.starts[shard+1] {
			shard++
		}
		ls, err := known.of(i)
		if err != nil {
			return err
		}
		if ls.fingerprint.Shard(s.header.ShardBits) != s.header.shards[shard] {
			return s.part.readError("labels", decodeErrorf("those of series %d are not of its shard", p.ordinal))
		}
		if !shards.Has(ls.fingerprint) {
			continue
		}
		if ls.text, err = known.keep(ls); err != nil {
			return err
		}
		s.picks[len(s.result)] = p
		s.result = append(s.result, chunk.Series{Fingerprint: ls.fingerprint, Labels: ls.text})
	}
	s.picks = s.picks[:len(s.result)]
	return nil
}

// readChunks reads the chunk rows of the picks, keeps the chunks that overlap the time range, and
// leaves only the series that have some, up to the limit.
func (s *selection) readChunks() error {
	rows, err := s.part.chunkRows(s.reader, s.header, s.picks[0].ordinal, s.picks[len(s.picks)-1].ordinal)
	if err != nil {
		return err
	}
	defer rows.close()
	times := newTimesReader(s)
	var (
		limit  = s.limit()
		data   = arena[byte]{take: s.take}
		chunks = arena[chunk.Chunk]{take: s.take}
		found  []chunk.Chunk
		n      int
		size   int
	)
	data.expect(limit * int(s.header.ChunkBytes/s.header.Series+1))
	chunks.expect(limit * 2)
	for i := 0; i < len(s.picks) && n < limit; i++ {
		if i%checkEvery == 0 {
			if err := s.take(0); err != nil {
				return err
			}
		}
		p := s.picks[i]
		row, err := s.chunkRow(rows, i)
		if err != nil {
			return err
		}
		if found, err = chunk.DecodeRow(found[:0], row, times.column); errors.Is(err, chunk.ErrCorrupt) {
			return s.part.readError("chunks", decodeErrorf("row of series %d: %v", p.ordinal, err))
		} else if err != nil {
			return err // Of the times, told and counted by who reads them.
		}
		kept, err := s.keepChunks(&chunks, &data, found)
		if err != nil {
			return err
		}
		for j := range kept {
			size += len(kept[j].Data)
		}
		if len(kept) > 0 {
			s.result[p.place].Chunks = kept
			s.picks[n] = p
			n++
		}
	}
	s.picks = s.picks[:n]
	s.part.cache.metrics.selectedRows.Add(float64(rows.read))
	s.part.cache.metrics.selectedBytes.Add(float64(size))
	return nil
}

// chunkRow reads the chunk row of a pick, by the cache if it lies apart from the others: finding it takes
// longer than reading it.
func (s *selection) chunkRow(rows *rowReader, i int) ([]byte, error) {
	ordinal := s.picks[i].ordinal
	near := i > 0 && ordinal-s.picks[i-1].ordinal <= rowSkip || i+1 < len(s.picks) && s.picks[i+1].ordinal-ordinal <= rowSkip
	if near {
		return rows.at(ordinal)
	}
	key := cacheKey{part: s.part.meta.Part, section: chunkSection, block: ordinal}
	if row, ok := s.part.cache.get(key).(cachedRow); ok {
		return row, nil
	}
	row, err := rows.at(ordinal)
	if err == nil {
		s.part.cache.put(key, cachedRow(bytes.Clone(row)))
	}
	return row, err
}

// cachedRow is a chunk row in the cache.
type cachedRow []byte

func (r cachedRow) size() int64 { return int64(len(r)) + 24 }

// chunkSection is where chunk rows are in the cache; the index has no such section.
const chunkSection keys.Section = 0xff

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
	return kept, nil
}

// rowReader reads rows of which each has a number, in ascending order, by one iterator. There is a
// row for each number, so that the next one is so many steps away, unless a shard between them is gone.
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

// chunkRows reads chunk rows by ordinal, from first to last.
func (p *Part) chunkRows(r pebble.Reader, h *header, first, last uint32) (*rowReader, error) {
	shard := h.shardAt(first)
	key := keys.AppendChunk(nil, p.meta.Part, h.shards[shard], first)
	end := append(keys.AppendChunk(nil, p.meta.Part, h.shards[h.shardAt(last)], last), 0)
	it, err := p.scan(r, bytes.Clone(key), end)
	if err != nil {
		return nil, err
	}
	return &rowReader{
		part: p, what: "chunks", it: it, key: key, skip: rowSkip, first: true,
		name: func(key []byte, n uint32) {
			for n >= h.starts[shard+1] {
				shard++
			}
			keys.SetChunk(key, h.shards[shard], n)
		},
	}, nil
}

// blocks reads the blocks of a section of the index.
func (p *Part) blocks(r pebble.Reader, s keys.Section) (*rowReader, error) {
	start, end := keys.SectionSpan(p.meta.Part, s)
	it, err := p.scan(r, start, end)
	if err != nil {
		return nil, err
	}
	return &rowReader{
		part: p, what: fmt.Sprintf("index section %d", s), it: it, skip: blockSkip, first: true,
		key:  keys.AppendBlock(nil, p.meta.Part, s, 0),
		name: keys.SetBlock,
	}, nil
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
		if r.it.Error() == nil && (!ok || !bytes.Equal(r.it.Key(), r.key)) {
			ok = r.it.SeekGE(r.key) // Rows between have been trimmed.
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
