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
