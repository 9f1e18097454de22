package block

import (
	"encoding/binary"
)

// symbolsPerBlock is the number of symbols in all blocks of symbols but the last. A power of two,
// so that a symbol's block and place are a shift and a mask.
const (
	symbolBits      = 8
	symbolsPerBlock = 1 << symbolBits
)

// A block of symbols is, for each, what a label carries in canonical label bytes (package series):
// uvarint len | bytes. A symbol is so put into a label set as it lies.

// appendSymbol appends a symbol to its block.
func appendSymbol(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// symbolBlock is a decoded block of symbols.
type symbolBlock struct {
	data string
	ends []uint32 // where each symbol ends in data; symbol i begins where i-1 ends
}

// decodeSymbols keeps nothing of b.
func decodeSymbols(b []byte) (*symbolBlock, error) {
	s := &symbolBlock{data: string(b), ends: make([]uint32, 0, min(symbolsPerBlock, len(b)))}
	c := cursor{rest: b}
	for len(c.rest) > 0 {
		c.bytes(c.uvarint())
		if c.bad || len(s.ends) == symbolsPerBlock {
			return nil, decodeErrorf("symbols")
		}
		s.ends = append(s.ends, uint32(len(b)-len(c.rest)))
	}
	return s, nil
}

// at returns symbol i with its length before it; false if there is none.
func (s *symbolBlock) at(i uint32) (string, bool) {
	if i >= uint32(len(s.ends)) {
		return "", false
	}
	from := uint32(0)
	if i > 0 {
		from = s.ends[i-1]
	}
	return s.data[from:s.ends[i]], true
}

// size in memory, for the cache.
func (s *symbolBlock) size() int64 { return int64(len(s.data)) + 4*int64(cap(s.ends)) + 64 }
