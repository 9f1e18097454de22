package block

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
)

// timesPerBlock is the number of columns of timestamps in all blocks of them but the last. The
// columns of a target's day follow each other, and make about one block.
const (
	timesBits     = 4
	timesPerBlock = 1 << timesBits
)

// maxTimesBytes bounds what a builder holds of columns; chunks whose times come later keep them.
const maxTimesBytes = 64 << 20

// timesWriter numbers the columns of timestamps that several chunks of a part have in common, in
// the order in which they are first needed.
//
// Whether a chunk's times are some other's, too, is known from a survey of all chunks that are
// written together, by hash, before the first is written.
type timesWriter struct {
	hashes  []uint64 // of the chunks surveyed, in order; 0 for none
	common  map[uint64]struct{}
	numbers map[uint64]uint32 // by hash
	columns [][]byte
	bytes   int

	scratch []byte
	row     []uint32
}

func newTimesWriter() *timesWriter {
	return &timesWriter{common: map[uint64]struct{}{}, numbers: map[uint64]uint32{}}
}

// survey looks at the chunks that are written next.
func (w *timesWriter) survey(entries []entry) error {
	w.hashes = w.hashes[:0]
	for i := range entries {
		for _, c := range entries[i].chunks {
			hash := uint64(0)
			if c.HasTimes() {
				var err error
				if w.scratch, err = c.AppendTimes(w.scratch[:0]); err != nil {
					return err
				}
				hash = max(xxhash.Sum64(w.scratch), 1)
			}
			w.hashes = append(w.hashes, hash)
		}
	}
	sorted := slices.Clone(w.hashes)
	slices.Sort(sorted)
	clear(w.common)
	for i, h := range sorted {
		if h != 0 && i > 0 && sorted[i-1] == h {
			w.common[h] = struct{}{}
		}
	}
	return nil
}

// columnsOf returns the number of the column of each of the chunks, which are the next of those
// surveyed, valid until the next call.
func (w *timesWriter) columnsOf(chunks []chunk.Chunk) ([]uint32, error) {
	w.row = w.row[:0]
	for i, c := range chunks {
		n, err := w.column(c, w.hashes[i])
		if err != nil {
			return nil, err
		}
		w.row = append(w.row, n)
	}
	w.hashes = w.hashes[len(chunks):]
	return w.row, nil
}

func (w *timesWriter) column(c chunk.Chunk, hash uint64) (uint32, error) {
	n, known := w.numbers[hash]
	if _, common := w.common[hash]; !known && !common {
		return chunk.NoColumn, nil
	}
	var err error
	if w.scratch, err = c.AppendTimes(w.scratch[:0]); err != nil {
		return 0, err
	}
	switch {
	case known && slices.Equal(w.columns[n], w.scratch):
		return n, nil
	case known || w.bytes+len(w.scratch) > maxTimesBytes: // Or two hashes are equal by chance.
		return chunk.NoColumn, nil
	}
	n = uint32(len(w.columns))
	w.numbers[hash] = n
	w.columns = append(w.columns, slices.Clone(w.scratch))
	w.bytes += len(w.scratch)
	return n, nil
}

// blocks calls fn with each block of columns.
func (w *timesWriter) blocks(fn func(n int, b []byte) error) error {
	var buf []byte
	for n := 0; n*timesPerBlock < len(w.columns); n++ {
		buf = buf[:0]
		for _, c := range w.columns[n*timesPerBlock : min((n+1)*timesPerBlock, len(w.columns))] {
			buf = binary.AppendUvarint(buf, uint64(len(c)))
			buf = append(buf, c...)
		}
		if err := fn(n, buf); err != nil {
			return err
		}
	}
	return nil
}

// timesBlock is a decoded block of columns, each of which is unpacked when it is first needed.
type timesBlock struct {
	columns []*chunk.Times
	bytes   int64
}

func decodeTimesBlock(b []byte) (*timesBlock, error) {
	t := &timesBlock{}
	c := cursor{rest: b}
	for len(c.rest) > 0 {
		column := c.bytes(c.uvarint())
		if c.bad || len(t.columns) == timesPerBlock {
			return nil, decodeErrorf("times")
		}
		times, err := chunk.DecodeTimes(column)
		if err != nil {
			return nil, decodeErrorf("%v", err)
		}
		t.columns = append(t.columns, times)
		t.bytes += times.Size()
	}
	return t, nil
}

// size in memory with all columns unpacked, for the cache.
func (t *timesBlock) size() int64 { return t.bytes }

// timesReader finds columns for the chunk rows of one selection.
type timesReader struct {
	selection *selection
	seen      map[uint32]*openTimes
	number    uint32 // of the last block
	last      *openTimes
}

// openTimes is a block in use by a selection.
type openTimes struct {
	*timesBlock
	taken uint32 // a bit for each column whose memory was asked for
}

func newTimesReader(s *selection) *timesReader {
	return &timesReader{selection: s, seen: map[uint32]*openTimes{}, number: math.MaxUint32}
}

// column is a chunk.Lookup. Of the columns only those that the selection unpacks, because they are
// in its time range, count as memory.
func (t *timesReader) column(n uint32) (*chunk.Times, error) {
	s := t.selection
	if n>>timesBits != t.number {
		if err := t.open(n >> timesBits); err != nil {
			return nil, err
		}
	}
	i := n % timesPerBlock
	if n >= s.header.times || int(i) >= len(t.last.columns) {
		return nil, s.part.readError("times", decodeErrorf("there is no column %d", n))
	}
	c := t.last.columns[i]
	if t.last.taken&(1<<i) == 0 && c.MinT() <= s.sel.Maxt && c.MaxT() >= s.sel.Mint {
		if err := s.take(c.Size()); err != nil {
			return nil, err
		}
		t.last.taken |= 1 << i
	}
	return c, nil
}

func (t *timesReader) open(n uint32) error {
	o := t.seen[n]
	if o == nil {
		b, err := t.selection.part.timesBlock(t.selection.reader, n)
		if err != nil {
			return err
		}
		o = &openTimes{timesBlock: b}
		t.seen[n] = o
	}
	t.number, t.last = n, o
	return nil
}

// timesBlock is read through the cache.
func (p *Part) timesBlock(r pebble.Reader, n uint32) (*timesBlock, error) {
	return cachedBlock(p, r, keys.Times, n, "times", decodeTimesBlock)
}
