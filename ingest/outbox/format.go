package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/barograph-db/barograph/cluster/placement"
)

const (
	version   = 1
	recordKey = 'r'
	gapKey    = 'g'
	idBytes   = 16
	// prefixBytes of a record's key name the peer, segmentBytes the segment too.
	prefixBytes  = 1 + idBytes
	segmentBytes = prefixBytes + 8
	keyBytes     = segmentBytes + 4

	flagLost = 1 << 0
)

var errFormat = errors.New("not what an outbox writes")

func prefix(kind byte, peer placement.NodeID) []byte {
	return append(append(make([]byte, 0, keyBytes), kind), peer[:]...)
}

func segmentKey(peer placement.NodeID, segment uint64) []byte {
	return binary.BigEndian.AppendUint64(prefix(recordKey, peer), segment)
}

func key(peer placement.NodeID, segment uint64, number uint32) []byte {
	return binary.BigEndian.AppendUint32(segmentKey(peer, segment), number)
}

// after is the key behind all that begin with p.
func after(p []byte) []byte {
	end := append([]byte(nil), p...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

func parseKey(k []byte) (peer placement.NodeID, segment uint64, number uint32, err error) {
	if len(k) != keyBytes || k[0] != recordKey {
		return peer, 0, 0, errFormat
	}
	copy(peer[:], k[1:])
	return peer, binary.BigEndian.Uint64(k[prefixBytes:]), binary.BigEndian.Uint32(k[segmentBytes:]), nil
}

// span is a stretch of time, both ends inclusive.
type span struct{ from, to int64 }

// nothing is the span that any other makes itself.
var nothing = span{math.MaxInt64, math.MinInt64}

func (s span) with(o span) span { return span{min(s.from, o.from), max(s.to, o.to)} }

func (s span) empty() bool { return s.from > s.to }

// extent is what a segment has so far.
type extent struct {
	span
	bytes int64
}

func (e extent) append(b []byte) []byte {
	b = append(b, version)
	b = binary.AppendVarint(b, e.from)
	b = binary.AppendUvarint(b, uint64(e.to-e.from))
	return binary.AppendUvarint(b, uint64(e.bytes))
}

// parseRecord returns the segment's extent up to the record, and its frame.
func parseRecord(b []byte) (e extent, frame []byte, err error) {
	d := fields{b: b}
	if v := d.byte(); v != version {
		return e, nil, fmt.Errorf("%w: version %d, not %d", errFormat, v, version)
	}
	e.from = d.varint()
	e.to = e.from + int64(d.uvarint())
	e.bytes = int64(d.uvarint())
	if d.failed || e.bytes < 0 {
		return e, nil, errFormat
	}
	return e, d.b, nil
}

// record of a gap.
type gapRecord struct {
	from int64
	lost span
}

func (g gapRecord) append(b []byte) []byte {
	flags := byte(0)
	if !g.lost.empty() {
		flags = flagLost
	}
	b = binary.AppendVarint(append(b, version, flags), g.from)
	if flags != 0 {
		b = binary.AppendVarint(binary.AppendVarint(b, g.lost.from), g.lost.to)
	}
	return b
}

func parseGap(b []byte) (gapRecord, error) {
	d, g := fields{b: b}, gapRecord{lost: nothing}
	v, flags := d.byte(), d.byte()
	g.from = d.varint()
	if flags == flagLost {
		g.lost = span{d.varint(), d.varint()}
	}
	if v != version || flags&^flagLost != 0 || d.failed || len(d.b) != 0 || flags != 0 && g.lost.empty() {
		return g, errFormat
	}
	return g, nil
}

// fields reads until the first error.
type fields struct {
	b      []byte
	failed bool
}

func (d *fields) byte() byte {
	if len(d.b) == 0 {
		d.failed = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *fields) uvarint() uint64 { return take(d, binary.Uvarint) }

func (d *fields) varint() int64 { return take(d, binary.Varint) }

func take[T int64 | uint64](d *fields, read func([]byte) (T, int)) T {
	v, n := read(d.b)
	if n <= 0 {
		d.failed = true
		return 0
	}
	d.b = d.b[n:]
	return v
}
