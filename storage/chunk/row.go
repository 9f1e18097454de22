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

const (
	rowVersion    = 1
	minChunkBytes = 6 // Of a chunk in a row, its data being empty.
)

// AppendRow appends the row that holds chunks, sorted by MinT, to dst.
func AppendRow(dst []byte, chunks []Chunk) ([]byte, error) {
	if len(chunks) > MaxRowChunks {
		return dst, fmt.Errorf("%w: %d chunks", ErrTooLarge, len(chunks))
	}
	start := len(dst)
	dst = append(dst, rowVersion)
	dst = binary.AppendUvarint(dst, uint64(len(chunks)))
	var last int64
	for _, c := range chunks {
		dst = append(dst, byte(c.Enc), 0)
		dst = binary.AppendUvarint(dst, uint64(c.Samples))
		dst = binary.AppendVarint(dst, c.MinT-last)
		dst = binary.AppendUvarint(dst, uint64(c.MaxT-c.MinT))
		dst = binary.AppendUvarint(dst, uint64(len(c.Data)))
		dst = append(dst, c.Data...)
		last = c.MinT
	}
	if len(dst)-start > MaxRowBytes {
		return dst[:start], fmt.Errorf("%w: %d bytes", ErrTooLarge, len(dst)-start)
	}
	return dst, nil
}

// DecodeRow appends the chunks of a row to dst. Their data are views into the row.
func DecodeRow(dst []Chunk, row []byte) ([]Chunk, error) {
	if len(row) < 2 || len(row) > MaxRowBytes {
		return dst, corruptf("row of %d bytes", len(row))
	}
	if row[0] != rowVersion {
		return dst, corruptf("row of version %d", row[0])
	}
	b := row[1:]
	num, ok := cutUvarint(&b)
	if !ok || num > MaxRowChunks || num > uint64(len(b)/minChunkBytes) {
		return dst, corruptf("row of %d chunks in %d bytes", num, len(row))
	}
	var last int64
	for i := range num {
		c, err := cutChunk(&b, last)
		if err != nil {
			return dst, fmt.Errorf("row's chunk %d: %w", i, err)
		}
		if i > 0 && c.MinT < last {
			return dst, corruptf("row's chunk %d begins before the one before", i)
		}
		dst = append(dst, c)
		last = c.MinT
	}
	if len(b) > 0 {
		return dst, corruptf("row has %d bytes too many", len(b))
	}
	return dst, nil
}

func cutChunk(b *[]byte, last int64) (Chunk, error) {
	if len(*b) < minChunkBytes {
		return Chunk{}, corruptf("cut short")
	}
	c := Chunk{Enc: Encoding((*b)[0])}
	if flags := (*b)[1]; flags != 0 || !c.Enc.known() {
		return c, corruptf("encoding %d with flags %d", c.Enc, flags)
	}
	*b = (*b)[2:]
	samples, ok := cutUvarint(b)
	if !ok || samples == 0 || samples > math.MaxUint16 {
		return c, corruptf("%d samples", samples)
	}
	step, n := binary.Varint(*b)
	if n <= 0 {
		return c, corruptf("cut short")
	}
	*b = (*b)[n:]
	span, ok := cutUvarint(b)
	if !ok {
		return c, corruptf("cut short")
	}
	size, ok := cutUvarint(b)
	if !ok || size > uint64(len(*b)) {
		return c, corruptf("cut short")
	}
	c.Samples, c.MinT = int(samples), last+step
	if c.MaxT = c.MinT + int64(span); c.MaxT < c.MinT {
		return c, corruptf("ends before it begins")
	}
	c.Data, *b = (*b)[:size:size], (*b)[size:]
	return c, nil
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
