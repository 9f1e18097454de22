package block

import "encoding/binary"

// cursor reads fields off encoded bytes. After the first that is not there it is bad and gives zeros.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) uvarint() uint64 {
	// Nearly all have one or two bytes.
	if b := c.rest; len(b) > 1 && b[0]&b[1] < 0x80 {
		if b[0] < 0x80 {
			c.rest = b[1:]
			return uint64(b[0])
		}
		c.rest = b[2:]
		return uint64(b[0]&0x7f) | uint64(b[1])<<7
	}
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

// upTo reads a uvarint that is not above limit.
func (c *cursor) upTo(limit uint64) uint64 {
	v := c.uvarint()
	if v > limit {
		c.fail()
		return 0
	}
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.rest)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) byte() byte {
	if b := c.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// uint32 reads four bytes, little endian.
func (c *cursor) uint32() uint32 {
	if b := c.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// bytes returns a view of the next n bytes, nil when there are fewer.
func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.rest)) {
		c.fail()
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) fail() { c.rest, c.bad = nil, true }
