package frame

import (
	"bytes"
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/huff0"
)

// The ways in which a block of a column is written.
const (
	blockRaw     = 0
	blockRun     = 1 // one byte, repeated
	blockHuffman = 2

	// maxBlock is the length of all blocks of a column but the last.
	maxBlock = 64 << 10
	// fourStreams is the length from which a block is coded as four streams, which are decoded
	// side by side, for six bytes more.
	fourStreams = 1 << 10
	// minHuffman is the length below which a code costs more than it saves.
	minHuffman = 128
)

var coders = sync.Pool{New: func() any { return &huff0.Scratch{} }}

// appendColumn appends the bytes of a column, whose length the reader will know.
func (c *columns) appendColumn(b, column []byte) []byte {
	if len(column) == 0 {
		return b
	}
	if c.plain {
		return appendPlain(b, column)
	}
	s := coders.Get().(*huff0.Scratch)
	defer coders.Put(s)
	for len(column) > 0 {
		n := min(len(column), maxBlock)
		b = appendBlock(b, column[:n], s)
		column = column[n:]
	}
	return b
}

// appendPlain is appendColumn without a code.
func appendPlain(b, column []byte) []byte {
	for len(column) > 0 {
		n := min(len(column), maxBlock)
		if block := column[:n]; bytes.Count(block, block[:1]) == n {
			b = append(b, blockRun, block[0])
		} else {
			b = append(append(b, blockRaw), block...)
		}
		column = column[n:]
	}
	return b
}

func appendBlock(b, block []byte, s *huff0.Scratch) []byte {
	if first := block[0]; bytes.Count(block, block[:1]) == len(block) {
		return append(b, blockRun, first)
	}
	if len(block) >= minHuffman {
		compress := huff0.Compress1X
		if len(block) >= fourStreams {
			compress = huff0.Compress4X
		}
		s.Reuse = huff0.ReusePolicyNone
		if out, _, err := compress(block, s); err == nil && len(out) < len(block)-len(block)/16 {
			b = append(b, blockHuffman)
			b = binary.AppendUvarint(b, uint64(len(out)))
			return append(b, out...)
		}
	}
	return append(append(b, blockRaw), block...)
}

// column reads a column of n bytes into the memory of dst.
func (r *reader) column(dst []byte, n int) []byte {
	dst = sized(dst, n)
	if n == 0 {
		return dst
	}
	s := coders.Get().(*huff0.Scratch)
	defer coders.Put(s)
	for rest := dst; len(rest) > 0 && !r.failed; {
		size := min(len(rest), maxBlock)
		r.block(rest[:size], s)
		rest = rest[size:]
	}
	return dst
}

func (r *reader) block(dst []byte, s *huff0.Scratch) {
	switch r.byte() {
	case blockRaw:
		if len(r.b) < len(dst) {
			r.fail()
			return
		}
		r.b = r.b[copy(dst, r.b):]
	case blockRun:
		first := r.byte()
		for i := range dst {
			dst[i] = first
		}
	case blockHuffman:
		r.huffman(dst, r.bytes(), s)
	default:
		r.fail()
	}
}

func (r *reader) huffman(dst, code []byte, s *huff0.Scratch) {
	if r.failed {
		return
	}
	s, code, err := huff0.ReadTable(code, s)
	if err != nil {
		r.fail()
		return
	}
	decompress := s.Decoder().Decompress1X
	if len(dst) >= fourStreams {
		decompress = s.Decoder().Decompress4X
	}
	out, err := decompress(dst[:0:len(dst)], code)
	if err != nil || len(out) != len(dst) {
		r.fail()
	}
}
