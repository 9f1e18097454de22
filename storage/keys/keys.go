package keys

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/barograph-db/barograph/storage/series"
)

// Class is the first byte of a key.
type Class byte

// The classes.
const (
	Chunks Class = 'c'
	Index  Class = 'i'
	Node   Class = 'm'
)

// Tier is a resolution.
type Tier uint8

// The tiers.
const (
	Raw Tier = 0
	M5  Tier = 1
	H1  Tier = 2
)

// String is the tier's name as users write it.
func (t Tier) String() string {
	switch t {
	case Raw:
		return "raw"
	case M5:
		return "5m"
	case H1:
		return "1h"
	}
	return fmt.Sprintf("tier%d", uint8(t))
}

// Part names what was flushed at once for one tier and stretch of time.
type Part struct {
	Tier  Tier
	Start int64 // milliseconds, whole minutes
	Seq   uint32
}

const (
	minuteMillis = 60_000
	partLen      = 1 + 1 + 4 + 4
	chunkLen     = partLen + 2 + 4
	startBias    = 1 << 31
)

// errKey marks bytes that are no key of ours.
var errKey = errors.New("malformed key")

// String prints the part as tier, start and number: raw/2026-11-22T08:00Z/17.
func (p Part) String() string {
	return fmt.Sprintf("%s/%s/%d", p.Tier, time.UnixMilli(p.Start).UTC().Format("2006-01-02T15:04Z"), p.Seq)
}

// Validate returns an error where the part's start is not a whole minute that a key can carry.
func (p Part) Validate() error {
	if p.Start%minuteMillis != 0 {
		return fmt.Errorf("part start %d is not a whole minute", p.Start)
	}
	if m := p.Start / minuteMillis; m < math.MinInt32 || m > math.MaxInt32 {
		return fmt.Errorf("part start %d is out of range", p.Start)
	}
	return nil
}

// Compare orders parts as their keys are ordered.
func Compare(a, b Part) int {
	return cmp.Or(cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Start, b.Start), cmp.Compare(a.Seq, b.Seq))
}

// AppendPart appends the prefix that all keys of the part have in the class. It panics on a part
// that is not valid.
func AppendPart(dst []byte, c Class, p Part) []byte {
	if err := p.Validate(); err != nil {
		panic(err)
	}
	dst = append(dst, byte(c), byte(p.Tier))
	dst = binary.BigEndian.AppendUint32(dst, uint32(int32(p.Start/minuteMillis))^startBias)
	return binary.BigEndian.AppendUint32(dst, p.Seq)
}

// ParsePart splits a key of class Chunks or Index into its part and the rest.
func ParsePart(key []byte) (c Class, p Part, rest []byte, err error) {
	if len(key) < partLen || Class(key[0]) != Chunks && Class(key[0]) != Index {
		return 0, Part{}, nil, fmt.Errorf("%w: %x has no part", errKey, clip(key))
	}
	p.Tier = Tier(key[1])
	p.Start = int64(int32(binary.BigEndian.Uint32(key[2:])^startBias)) * minuteMillis
	p.Seq = binary.BigEndian.Uint32(key[6:])
	return Class(key[0]), p, key[partLen:], nil
}

// ClassSpan bounds the keys of a class: start is inclusive, end is exclusive.
func ClassSpan(c Class) (start, end []byte) { return []byte{byte(c)}, []byte{byte(c) + 1} }

// PartSpan bounds the keys of a part in a class: start is inclusive, end is exclusive.
func PartSpan(c Class, p Part) (start, end []byte) {
	start = AppendPart(make([]byte, 0, partLen), c, p)
	return start, successor(start)
}

// successor is the least key above all that have the prefix. The first byte of a key of ours is
// never 0xff, so there is one.
func successor(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
}

// AppendChunk appends the key of a series' chunk row.
func AppendChunk(dst []byte, p Part, shard series.Shard, ordinal uint32) []byte {
	dst = AppendPart(dst, Chunks, p)
	dst = binary.BigEndian.AppendUint16(dst, uint16(shard))
	return binary.BigEndian.AppendUint32(dst, ordinal)
}

// SetChunk changes shard and ordinal of a key that AppendChunk made alone in its slice.
func SetChunk(key []byte, shard series.Shard, ordinal uint32) {
	binary.BigEndian.PutUint16(key[partLen:chunkLen], uint16(shard))
	binary.BigEndian.PutUint32(key[partLen+2:chunkLen], ordinal)
}

// ParseChunk decodes the key of a chunk row.
func ParseChunk(key []byte) (p Part, shard series.Shard, ordinal uint32, err error) {
	c, p, rest, err := ParsePart(key)
	if err != nil {
		return Part{}, 0, 0, err
	}
	if c != Chunks || len(rest) != chunkLen-partLen {
		return Part{}, 0, 0, fmt.Errorf("%w: %x is no chunk row", errKey, clip(key))
	}
	return p, series.Shard(binary.BigEndian.Uint16(rest)), binary.BigEndian.Uint32(rest[2:]), nil
}

// clip bounds what an error prints of a key.
func clip(key []byte) []byte { return key[:min(len(key), 32)] }
