package chunk

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The limits of one row. A slot of two hours has 240 chunks when a sample comes each 250 ms.
const (
	MaxRowChunks = 1 << 16
	MaxRowBytes  = 64 << 20
)

const rowVersion = 2

// The first byte of a chunk in a row: how its samples and times are given, in the lowest two bits,
// and what else there is.
const (
	timesGiven  = 0
	timesFollow = 1 // As many as those of the chunk before, in as long a time, and on from there.
	timesColumn = 2 // A column, by its distance from the one expected.
	timesNext   = 3 // The column after that of the last chunk which had one.

	otherEncoding = 4 // Than the chunk before has; the first is taken to come after a Decimal.
	toTheEnd      = 8 // The data is the rest of the row.
)

// NoColumn stands where a chunk has no column.
const NoColumn = math.MaxUint32

// A Lookup returns the column of timestamps with a number.
type Lookup func(column uint32) (*Times, error)

// rowState is what a chunk of a row may leave out, since the one before it tells.
type rowState struct {
	last Chunk
	next uint32 // The column that is expected.
}

func newRowState() rowState { return rowState{last: Chunk{Enc: Decimal}} }

// follows returns the chunk's place in time if it goes on where the last one ended.
func (s *rowState) follows() (minT, maxT int64, ok bool) {
	l := &s.last
	if l.Samples < 2 {
		return 0, 0, false
	}
	span := l.MaxT - l.MinT
	minT = l.MaxT + span/int64(l.Samples-1)
	maxT = minT + span
	return minT, maxT, l.MinT <= l.MaxT && l.MaxT <= minT && minT <= maxT
}

// AppendRow appends the row that holds chunks, sorted by MinT, to dst. The times of a chunk that has
// a number in columns, which may be nil, are left out: they are in the column of that number.
func AppendRow(dst []byte, chunks []Chunk, columns []uint32) ([]byte, error) {
	if len(chunks) > MaxRowChunks {
		return dst, fmt.Errorf("%w: %d chunks", ErrTooLarge, len(chunks))
	}
	start, err := len(dst), error(nil)
	dst = append(dst, rowVersion)
	state := newRowState()
	for i, c := range chunks {
		column := uint32(NoColumn)
		if columns != nil {
			column = columns[i]
		}
		if dst, err = state.append(dst, c, column, i == len(chunks)-1); err != nil {
			return dst[:start], err
		}
	}
	if len(dst)-start > MaxRowBytes {
		return dst[:start], fmt.Errorf("%w: %d bytes", ErrTooLarge, len(dst)-start)
	}
	return dst, nil
}

func (s *rowState) append(dst []byte, c Chunk, column uint32, last bool) ([]byte, error) {
	minT, maxT, follows := s.follows()
	shared := column != NoColumn
	at := len(dst)
	head := byte(timesGiven)
	dst = append(dst, head)
	if c.Enc != s.last.Enc {
		head |= otherEncoding
		dst = append(dst, byte(c.Enc))
	}
	switch {
	case shared && column == s.next:
		head |= timesNext
	case shared:
		head |= timesColumn
		dst = binary.AppendVarint(dst, int64(column)-int64(s.next))
	case follows && c.Samples == s.last.Samples && c.MinT == minT && c.MaxT == maxT:
		head |= timesFollow
	default:
		dst = binary.AppendUvarint(dst, uint64(c.Samples))
		dst = binary.AppendVarint(dst, c.MinT-s.last.MinT)
		dst = binary.AppendUvarint(dst, uint64(c.MaxT-c.MinT))
	}
	if shared {
		s.next = column + 1
	}
	s.last = c
	from := len(dst)
	dst, err := c.appendData(dst, shared)
	if last {
		head |= toTheEnd
	} else {
		dst = insertLength(dst, from)
	}
	dst[at] = head
	return dst, err
}

// insertLength puts the length of what is in dst from an index on before it.
func insertLength(dst []byte, from int) []byte {
	var length [binary.MaxVarintLen64]byte
	size := len(dst) - from
	n := binary.PutUvarint(length[:], uint64(size))
	dst = append(dst, length[:n]...)
	copy(dst[from+n:], dst[from:from+size])
	copy(dst[from:], length[:n])
	return dst
}

// DecodeRow appends the chunks of a row to dst. Their data are views into the row. Without columns a
// chunk that refers to one is damage.
func DecodeRow(dst []Chunk, row []byte, columns Lookup) ([]Chunk, error) {
	if len(row) == 0 || len(row) > MaxRowBytes {
		return dst, corruptf("row of %d bytes", len(row))
	}
	if row[0] != rowVersion {
		return dst, corruptf("row of version %d", row[0])
	}
	b, state := row[1:], newRowState()
	for i := 0; len(b) > 0; i++ {
		if i == MaxRowChunks {
			return dst, corruptf("row of more than %d chunks", i)
		}
		before := state.last.MinT
		c, err := state.cut(&b, columns)
		if err != nil {
			return dst, fmt.Errorf("row's chunk %d: %w", i, err)
		}
		if i > 0 && c.MinT < before {
			return dst, corruptf("row's chunk %d begins before the one before", i)
		}
		dst = append(dst, c)
	}
	return dst, nil
}

func (s *rowState) cut(b *[]byte, columns Lookup) (Chunk, error) {
	head := (*b)[0]
	*b = (*b)[1:]
	c := Chunk{Enc: s.last.Enc}
	if head&otherEncoding != 0 && len(*b) > 0 {
		c.Enc, *b = Encoding((*b)[0]), (*b)[1:]
	}
	if head >= 2*toTheEnd || !c.Enc.known() || head&otherEncoding != 0 && c.Enc == s.last.Enc {
		return c, corruptf("begins with %d, encoding %d", head, c.Enc)
	}
	if err := s.cutTimes(&c, b, head&timesNext, columns); err != nil {
		return c, err
	}
	size := uint64(len(*b))
	if head&toTheEnd == 0 {
		var ok bool
		if size, ok = cutUvarint(b); !ok || size >= uint64(len(*b)) { // It is not the last.
			return c, corruptf("cut short")
		}
	}
	c.Data, *b = (*b)[:size:size], (*b)[size:]
	if (c.Times != nil) != c.shared() {
		return c, corruptf("data is of times elsewhere, or lacks them")
	}
	s.last = c
	return c, nil
}

// cutTimes reads how many samples the chunk has and from when to when.
func (s *rowState) cutTimes(c *Chunk, b *[]byte, how byte, columns Lookup) error {
	switch how {
	case timesColumn, timesNext:
		return s.cutColumn(c, b, how, columns)
	case timesFollow:
		var ok bool
		c.Samples = s.last.Samples
		if c.MinT, c.MaxT, ok = s.follows(); !ok {
			return corruptf("follows none")
		}
		return nil
	}
	samples, ok := cutUvarint(b)
	if !ok || samples == 0 || samples > math.MaxUint16 {
		return corruptf("%d samples", samples)
	}
	step, n := binary.Varint(*b)
	if n <= 0 {
		return corruptf("cut short")
	}
	*b = (*b)[n:]
	span, ok := cutUvarint(b)
	if !ok {
		return corruptf("cut short")
	}
	c.Samples, c.MinT = int(samples), s.last.MinT+step
	if c.MaxT = c.MinT + int64(span); c.MaxT < c.MinT {
		return corruptf("ends before it begins")
	}
	return nil
}

func (s *rowState) cutColumn(c *Chunk, b *[]byte, how byte, columns Lookup) error {
	number := int64(s.next)
	if how == timesColumn {
		step, n := binary.Varint(*b)
		if n <= 0 || step == 0 {
			return corruptf("cut short")
		}
		number, *b = number+step, (*b)[n:]
	}
	if columns == nil || number < 0 || number >= NoColumn {
		return corruptf("column %d of times", number)
	}
	var err error
	if c.Times, err = columns(uint32(number)); err != nil {
		return err
	}
	s.next = uint32(number) + 1
	c.Samples, c.MinT, c.MaxT = c.Times.samples, c.Times.minT, c.Times.maxT
	return nil
}

// cutUvarint takes a uvarint off the front of b.
func cutUvarint(b *[]byte) (uint64, bool) {
	x, n := binary.Uvarint(*b)
	if n <= 0 {
		return 0, false
	}
	*b = (*b)[n:]
	return x, true
}
