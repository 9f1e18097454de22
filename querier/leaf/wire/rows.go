package wire

import (
	"encoding/binary"
	"unsafe"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	// rowBytes and rowChunks are where a row of many chunks is cut.
	rowBytes  = batchBytes
	rowChunks = 4096
	// maxColumns is how many columns of timestamps a stream has; later chunks bring their own.
	maxColumns = 1 << 16
)

// rowsEncoder makes batches of series.
type rowsEncoder struct {
	labels, columns, rows      []byte
	numRows, chunks, numColumn uint64
	numbers                    map[*chunk.Times]uint32
	scratch                    []uint32
	row, head                  []byte
}

// add adds a series. flush is called each time that a batch is full.
func (e *rowsEncoder) add(s chunk.Series, flush func() error) error {
	e.labels = appendText(e.labels, s.Labels)
	for left := s.Chunks; ; {
		n := cutRow(left)
		if err := e.addRow(left[:n], n < len(left)); err != nil {
			return err
		}
		left = left[n:]
		if e.size() >= batchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		if len(left) == 0 {
			return nil
		}
	}
}

func (e *rowsEncoder) size() int { return len(e.labels) + len(e.columns) + len(e.rows) }

// cutRow is how many of the chunks make a row.
func cutRow(chunks []chunk.Chunk) int {
	bytes := 0
	for i, c := range chunks {
		if bytes += len(c.Data); i > 0 && bytes > rowBytes || i == rowChunks {
			return i
		}
	}
	return len(chunks)
}

func (e *rowsEncoder) addRow(chunks []chunk.Chunk, more bool) error {
	e.row = e.row[:0]
	if len(chunks) > 0 {
		columns, err := e.columnsOf(chunks)
		if err != nil {
			return err
		}
		if e.row, err = chunk.AppendRow(e.row, chunks, columns); err != nil {
			return err
		}
	}
	length := uint64(len(e.row)) << 1
	if more {
		length |= 1
	}
	e.rows = append(binary.AppendUvarint(e.rows, length), e.row...)
	e.numRows++
	e.chunks += uint64(len(chunks))
	return nil
}

// columnsOf numbers the columns that chunks share, and adds those that have not been sent.
func (e *rowsEncoder) columnsOf(chunks []chunk.Chunk) ([]uint32, error) {
	e.scratch = e.scratch[:0]
	shared := false
	for _, c := range chunks {
		number := uint32(chunk.NoColumn)
		if c.Times != nil {
			known, ok := e.numbers[c.Times]
			switch {
			case ok:
				number = known
			case len(e.numbers) < maxColumns:
				if e.numbers == nil {
					e.numbers = map[*chunk.Times]uint32{}
				}
				number = uint32(len(e.numbers))
				column, err := c.AppendTimes(nil)
				if err != nil {
					return nil, err
				}
				e.numbers[c.Times] = number
				e.columns = appendText(e.columns, column)
				e.numColumn++
			}
		}
		shared = shared || number != chunk.NoColumn
		e.scratch = append(e.scratch, number)
	}
	if !shared {
		return nil, nil
	}
	return e.scratch, nil
}

// send sends what was added as a batch, and begins the next one.
func (e *rowsEncoder) send(s *sender) error {
	if e.numRows == 0 {
		return nil
	}
	e.head = binary.AppendUvarint(e.head[:0], e.numRows)
	e.head = binary.AppendUvarint(e.head, e.chunks)
	e.head = binary.AppendUvarint(e.head, e.numColumn)
	e.head = append(append(e.head, e.columns...), e.labels...)
	err := s.sendBatch(e.head, e.rows)
	e.labels, e.columns, e.rows = e.labels[:0], e.columns[:0], e.rows[:0]
	e.numRows, e.chunks, e.numColumn = 0, 0, 0
	return err
}

// rowsDecoder makes series of batches.
type rowsDecoder struct {
	take    func(int64) error
	columns []*chunk.Times
	last    chunk.Series
	more    bool // The last one is not complete.
	series  int  // that are complete
}

const (
	seriesBytes = int64(unsafe.Sizeof(chunk.Series{}))
	chunkBytes  = int64(unsafe.Sizeof(chunk.Chunk{}))
)

// decode returns the series that are complete. They refer to body.
func (r *rowsDecoder) decode(body []byte) ([]chunk.Series, error) {
	head, rows, err := openBatch(body, r.take)
	if err != nil {
		return nil, err
	}
	d, b := decoder{rest: head}, decoder{rest: rows}
	numRows, numChunks, numColumns := d.uvarint(), d.uvarint(), d.count(1)
	if most := uint64(len(rows)); numRows > most || numChunks > most {
		return nil, malformed("%d rows and %d chunks in %d bytes", numRows, numChunks, most)
	}
	if err := r.take(int64(numRows)*seriesBytes + int64(numChunks)*chunkBytes); err != nil {
		return nil, err
	}
	if err := r.decodeColumns(&d, numColumns); err != nil {
		return nil, err
	}
	out, chunks := make([]chunk.Series, 0, numRows), make([]chunk.Chunk, 0, numChunks)
	for range numRows {
		if !r.more {
			if err := r.begin(d.text()); err != nil {
				return nil, err
			}
		}
		if chunks, err = r.decodeRow(&b, chunks); err != nil {
			return nil, err
		}
		if !r.more {
			out = append(out, r.last)
		}
	}
	if d.end() != nil || b.end() != nil {
		return nil, malformed("%v, %v", d.end(), b.end())
	}
	if uint64(len(chunks)) != numChunks {
		return nil, malformed("%d chunks, not %d", len(chunks), numChunks)
	}
	r.series += len(out)
	return out, nil
}

func (r *rowsDecoder) decodeColumns(d *decoder, n int) error {
	if len(r.columns)+n > maxColumns {
		return malformed("more than %d columns", maxColumns)
	}
	for range n {
		b := d.text()
		if d.err != nil {
			return d.err
		}
		column, err := chunk.DecodeTimes(b)
		if err != nil {
			return err
		}
		if err := r.take(column.Size()); err != nil {
			return err
		}
		r.columns = append(r.columns, column)
	}
	return nil
}

// begin begins the next series.
func (r *rowsDecoder) begin(ls series.Labels) error {
	if err := ls.Validate(); err != nil {
		return malformed("%v", err)
	}
	next := chunk.Series{Fingerprint: ls.Fingerprint(), Labels: ls}
	if r.last.Labels != nil && series.Compare(r.last.Fingerprint, r.last.Labels, next.Fingerprint, next.Labels) >= 0 {
		return malformed("series %s out of order", ls)
	}
	r.last = next
	return nil
}

// decodeRow gives the last series the chunks of a row, which are appended to chunks.
func (r *rowsDecoder) decodeRow(b *decoder, chunks []chunk.Chunk) ([]chunk.Chunk, error) {
	length := b.uvarint()
	row := b.bytes(length >> 1)
	if b.err != nil {
		return chunks, b.err
	}
	from := len(chunks)
	if len(row) > 0 {
		var err error
		if chunks, err = chunk.DecodeRow(chunks, row, r.column); err != nil {
			return chunks, err
		}
	}
	own := chunks[from:len(chunks):len(chunks)]
	r.more = length&1 != 0
	if len(r.last.Chunks) == 0 {
		r.last.Chunks = own
		return chunks, nil
	}
	if err := r.take(int64(len(own)) * chunkBytes); err != nil {
		return chunks, err
	}
	if len(own) > 0 && own[0].MinT < r.last.Chunks[len(r.last.Chunks)-1].MinT {
		return chunks, malformed("chunks out of order")
	}
	r.last.Chunks = append(r.last.Chunks, own...)
	return chunks, nil
}

func (r *rowsDecoder) column(number uint32) (*chunk.Times, error) {
	if int(number) >= len(r.columns) {
		return nil, malformed("column %d of %d", number, len(r.columns))
	}
	return r.columns[number], nil
}
