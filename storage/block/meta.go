package block

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"

	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// Meta says what a part is and how much it holds.
type Meta struct {
	Part keys.Part
	// ShardBits: ordinals are given out by shard of 1<<ShardBits.
	ShardBits uint8
	// MinT and MaxT are the times of the first and the last sample, in milliseconds.
	MinT, MaxT int64
	Series     int64
	Samples    int64
	// ChunkBytes of chunk rows, before Pebble's compression.
	ChunkBytes int64
	// Bytes on disk, chunks and index. It is asked of Pebble, not kept in the header.
	Bytes int64
	// FlushedBefore and FlushedSegment are the mark of the flush that wrote the part: samples with
	// t < FlushedBefore in segments < FlushedSegment of the write-ahead log are in Pebble.
	FlushedBefore  int64
	FlushedSegment uint64
	// Replaces are the parts, of the same tier, whose samples the part has taken over, by start and
	// sequence: where it exists, they count as dropped. At most MaxReplaces.
	Replaces []keys.Part
}

// MaxReplaces bounds the parts that one part replaces.
const MaxReplaces = 4096

// overlaps reports whether the part may have samples in [mint, maxt].
func (m *Meta) overlaps(mint, maxt int64) bool { return m.MinT <= maxt && m.MaxT >= mint }

// header is the first row of the index: the part exists while it does.
type header struct {
	Meta
	symbols uint32 // how many
	labels  uint64 // how many, over all series
	times   uint32 // how many columns of timestamps
	// shards that have series, ascending. The series of shards[i] are the ordinals from starts[i]
	// up to starts[i+1]; the last of starts is the number of series.
	shards []series.Shard
	starts []uint32
}

const (
	headerVersion = 4
	maxShardBits  = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// count of series.
func (h *header) count() uint32 { return h.starts[len(h.starts)-1] }

// shardAt returns the index in shards of the one that has the ordinal.
func (h *header) shardAt(ordinal uint32) int {
	i, found := slices.BinarySearchFunc(h.starts, ordinal, cmp.Compare[uint32])
	if !found {
		i--
	}
	return i
}

func (h *header) encode(dst []byte) []byte {
	dst = append(dst, headerVersion, 0, 0, 0, 0)
	body := len(dst)
	dst = append(dst, byte(h.Part.Tier), h.ShardBits)
	dst = binary.AppendVarint(dst, h.Part.Start)
	dst = binary.AppendUvarint(dst, uint64(h.Part.Seq))
	dst = binary.AppendVarint(dst, h.MinT)
	dst = binary.AppendVarint(dst, h.MaxT)
	for _, v := range []uint64{uint64(h.Samples), uint64(h.ChunkBytes)} {
		dst = binary.AppendUvarint(dst, v)
	}
	dst = binary.AppendVarint(dst, h.FlushedBefore)
	for _, v := range []uint64{h.FlushedSegment, uint64(h.symbols), h.labels, uint64(h.times), uint64(len(h.shards))} {
		dst = binary.AppendUvarint(dst, v)
	}
	next := 0
	for i, shard := range h.shards {
		dst = binary.AppendUvarint(dst, uint64(int(shard)-next))
		dst = binary.AppendUvarint(dst, uint64(h.starts[i+1]-h.starts[i]))
		next = int(shard) + 1
	}
	dst = h.encodeReplaces(dst)
	binary.LittleEndian.PutUint32(dst[body-4:], crc32.Checksum(dst[body:], castagnoli))
	return dst
}

func (h *header) encodeReplaces(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(h.Replaces)))
	last := h.Part.Start
	for _, p := range h.Replaces {
		dst = binary.AppendVarint(dst, p.Start-last)
		dst = binary.AppendUvarint(dst, uint64(p.Seq))
		last = p.Start
	}
	return dst
}

func decodeHeader(b []byte) (*header, error) {
	if len(b) < 5 {
		return nil, decodeErrorf("header of %d bytes", len(b))
	}
	if b[0] != headerVersion {
		return nil, decodeErrorf("header version %d is not known", b[0])
	}
	if crc32.Checksum(b[5:], castagnoli) != binary.LittleEndian.Uint32(b[1:]) {
		return nil, decodeErrorf("header checksum does not match")
	}
	c := cursor{rest: b[5:]}
	h := &header{}
	h.Part.Tier = keys.Tier(c.byte())
	h.ShardBits = c.byte()
	h.Part.Start = c.varint()
	h.Part.Seq = uint32(c.upTo(math.MaxUint32))
	h.MinT, h.MaxT = c.varint(), c.varint()
	h.Samples = int64(c.upTo(math.MaxInt64))
	h.ChunkBytes = int64(c.upTo(math.MaxInt64))
	h.FlushedBefore = c.varint()
	h.FlushedSegment = c.uvarint()
	h.symbols = uint32(c.upTo(math.MaxUint32))
	h.labels = c.uvarint()
	h.times = uint32(c.upTo(math.MaxUint32))
	if h.ShardBits > maxShardBits {
		return nil, decodeErrorf("header has %d shard bits", h.ShardBits)
	}
	h.decodeShards(&c)
	h.decodeReplaces(&c)
	if c.bad || len(c.rest) > 0 || h.MinT > h.MaxT {
		return nil, decodeErrorf("header fields")
	}
	h.Series = int64(h.count())
	return h, nil
}

func (h *header) decodeShards(c *cursor) {
	n := int(c.upTo(1 << h.ShardBits))
	if n > len(c.rest)/2 { // Each takes two bytes at least.
		c.fail()
		n = 0
	}
	h.shards = make([]series.Shard, 0, n)
	h.starts = make([]uint32, 1, n+1)
	next, count := uint64(0), uint64(0)
	for range n {
		shard := next + c.upTo(1<<h.ShardBits)
		size := c.upTo(math.MaxUint32)
		count += size
		if size == 0 || shard >= 1<<h.ShardBits || count > math.MaxUint32 {
			c.fail()
			return
		}
		h.shards = append(h.shards, series.Shard(shard))
		h.starts = append(h.starts, uint32(count))
		next = shard + 1
	}
}

// decodeReplaces takes no part twice and not the part itself, or a part could be its own end.
func (h *header) decodeReplaces(c *cursor) {
	n := int(c.upTo(MaxReplaces))
	if n > len(c.rest)/2 { // Each takes two bytes at least.
		c.fail()
		return
	}
	if n > 0 {
		h.Replaces = make([]keys.Part, 0, n)
	}
	last := h.Part.Start
	for i := range n {
		last += c.varint()
		p := keys.Part{Tier: h.Part.Tier, Start: last, Seq: uint32(c.upTo(math.MaxUint32))}
		if p.Validate() != nil || p == h.Part || i > 0 && keys.Compare(h.Replaces[i-1], p) >= 0 {
			c.fail()
			return
		}
		h.Replaces = append(h.Replaces, p)
	}
}
