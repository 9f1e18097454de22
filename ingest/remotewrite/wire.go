package remotewrite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The wire types of protobuf. Groups (3 and 4) are refused.
const (
	varintType  = 0
	fixed64Type = 1
	bytesType   = 2
	fixed32Type = 5
)

var (
	errTruncated = errors.New("message is cut off")
	errVarint    = errors.New("varint is longer than 64 bits")
)

// field is one field of a message: v for varint and fixed types, b for bytes.
type field struct {
	num  int
	wire int
	v    uint64
	b    []byte
}

// varint reads one at b[i:] and returns where it ends.
func varint(b []byte, i int) (v uint64, end int, err error) {
	if i < len(b) && b[i] < 0x80 {
		return uint64(b[i]), i + 1, nil
	}
	return longVarint(b, i)
}

func longVarint(b []byte, i int) (v uint64, end int, err error) {
	v, n := binary.Uvarint(b[min(i, len(b)):])
	switch {
	case n == 0:
		return 0, 0, errTruncated
	case n < 0:
		return 0, 0, errVarint
	}
	return v, i + n, nil
}

// next reads the field at b[i:] and returns where it ends.
func next(b []byte, i int) (f field, end int, err error) {
	tag, i, err := varint(b, i)
	if err != nil {
		return f, 0, err
	}
	if tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return f, 0, fmt.Errorf("field number %d", tag>>3)
	}
	f.num, f.wire = int(tag>>3), int(tag&7)
	switch f.wire {
	case varintType:
		f.v, i, err = varint(b, i)
		return f, i, err
	case fixed64Type:
		if len(b)-i < 8 {
			return f, 0, errTruncated
		}
		f.v = binary.LittleEndian.Uint64(b[i:])
		return f, i + 8, nil
	case fixed32Type:
		if len(b)-i < 4 {
			return f, 0, errTruncated
		}
		f.v = uint64(binary.LittleEndian.Uint32(b[i:]))
		return f, i + 4, nil
	case bytesType:
		n, i, err := varint(b, i)
		if err != nil {
			return f, 0, err
		}
		if n > uint64(len(b)-i) {
			return f, 0, errTruncated
		}
		end := i + int(n)
		f.b = b[i:end:end]
		return f, end, nil
	}
	return f, 0, fmt.Errorf("field %d has wire type %d", f.num, f.wire)
}

// short is next for the most usual field: of bytes, with a tag and a length of one byte each. What it
// holds is b[from:to]. num is zero where the field is another one.
func short(b []byte, i int) (num, from, to int) {
	if i+1 < len(b) {
		if n := int(b[i+1]); b[i]&0x87 == bytesType && n < 0x80 && i+2+n <= len(b) {
			return int(b[i] >> 3), i + 2, i + 2 + n
		}
	}
	return 0, 0, 0
}

// uint32At reads a varint, of two bytes at most if it is to be quick. It returns where the varint
// ends, or -1 where none does.
func uint32At(b []byte, i int) (v uint32, end int) {
	if i+1 < len(b) {
		if c := uint32(b[i]); c < 0x80 {
			return c, i + 1
		} else if d := uint32(b[i+1]); d < 0x80 {
			return c&0x7f | d<<7, i + 2
		}
	}
	return longUint32(b, i)
}

func longUint32(b []byte, i int) (v uint32, end int) {
	u, end, err := varint(b, i)
	if err != nil {
		return 0, -1
	}
	return uint32(u), end
}

// want returns an error unless the field has the wire type.
func (f *field) want(wire int) error {
	if f.wire != wire {
		return fmt.Errorf("field %d has wire type %d, not %d", f.num, f.wire, wire)
	}
	return nil
}

func (f *field) float() float64 { return math.Float64frombits(f.v) }

func zigzag32(v uint64) int32 { return int32(uint32(v)>>1) ^ -int32(v&1) }

func zigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// countVarints is how many varints end in b.
func countVarints(b []byte) int {
	n := 0
	for _, c := range b {
		if c < 0x80 {
			n++
		}
	}
	return n
}
