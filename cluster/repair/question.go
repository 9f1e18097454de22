package repair

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/barograph-db/barograph/storage/series"
)

// The methods that other nodes may call. All messages are at most MaxMessage.
const (
	DigestMethod   = "repair.digest"
	LostMethod     = "repair.lost"
	RepairedMethod = "repair.repaired"
	MaxMessage     = 4 << 20
)

const (
	version = 1
	// maxCells of shards and slots are in one answer; each takes 18 bytes at most.
	maxCells = 1 << 17
	maxBits  = 16

	flagForgot = 1 << 0
)

// Question asks for a digest of each slot of each shard.
type Question struct {
	// Shards are those of a placement, or parts of them: there are more bits then.
	Shards *series.ShardSet
	// Mint and Maxt are inclusive, in milliseconds; Slot is the width of the slots from Mint on.
	Mint, Maxt, Slot int64
}

// lowest fingerprint of a shard.
func lowest(n int, bits uint8) series.Fingerprint {
	return series.Fingerprint(uint64(n) << (64 - bits)) // A shift by 64 gives 0.
}

// list of the shards of a set, ascending.
func list(set *series.ShardSet) (shards []series.Shard) {
	for n := range 1 << set.Bits {
		if set.Has(lowest(n, set.Bits)) {
			shards = append(shards, series.Shard(n))
		}
	}
	return shards
}

func setOf(bits uint8, shards []series.Shard) *series.ShardSet {
	set := &series.ShardSet{Bits: bits}
	for _, s := range shards {
		set.Add(s)
	}
	return set
}

// slots is how many there are; the last may be shorter.
func (q *Question) slots() int { return int((uint64(q.Maxt)-uint64(q.Mint))/uint64(q.Slot)) + 1 }

// slot returns the first and the last millisecond of one.
func (q *Question) slot(n int) (mint, maxt int64) {
	mint = q.Mint + int64(n)*q.Slot
	if q.Maxt-mint < q.Slot {
		return mint, q.Maxt
	}
	return mint, mint + q.Slot - 1
}

func (q *Question) encode() []byte {
	b := append(make([]byte, 0, 64), version, q.Shards.Bits)
	b = binary.AppendVarint(b, q.Mint)
	b = binary.AppendUvarint(b, uint64(q.Maxt)-uint64(q.Mint))
	b = binary.AppendUvarint(b, uint64(q.Slot))
	shards, next := list(q.Shards), 0
	b = binary.AppendUvarint(b, uint64(len(shards)))
	for _, s := range shards {
		b = binary.AppendUvarint(b, uint64(int(s)-next))
		next = int(s) + 1
	}
	return b
}

var errMessage = errors.New("not what a node that repairs says")

func decodeQuestion(b []byte) (q Question, err error) {
	d, err := open(b)
	if err != nil {
		return q, err
	}
	bits := d.byte()
	q.Mint = d.varint()
	width := d.uvarint(math.MaxInt64)
	if q.Mint > math.MaxInt64-int64(width) {
		return q, errMessage
	}
	q.Maxt = q.Mint + int64(width)
	q.Slot = int64(d.uvarint(math.MaxInt64))
	n := int(d.uvarint(1 << maxBits))
	if d.failed || bits > maxBits || q.Slot == 0 {
		return q, errMessage
	}
	if slots := width/uint64(q.Slot) + 1; slots > maxCells || n*int(slots) > maxCells {
		return q, fmt.Errorf("%w: more than %d digests", errMessage, maxCells)
	}
	q.Shards = &series.ShardSet{Bits: bits}
	for next := 0; n > 0; n-- {
		s := next + int(d.uvarint(1<<maxBits))
		if s >= 1<<bits {
			return q, errMessage
		}
		q.Shards.Add(series.Shard(s))
		next = s + 1
	}
	return q, d.end()
}

// answer has the digests of a question, the slots of the first shard first.
type answer struct {
	// forgot says that the node had samples in this stretch which it lost.
	forgot  bool
	digests []series.Digest
}

func (a *answer) encode() []byte {
	flags := byte(0)
	if a.forgot {
		flags = flagForgot
	}
	b := append(make([]byte, 0, 2+10*len(a.digests)), version, flags)
	for _, d := range a.digests {
		b = binary.AppendUvarint(b, d.Samples)
		if d.Samples > 0 {
			b = binary.LittleEndian.AppendUint64(b, d.Sum)
		}
	}
	return b
}

// decodeAnswer decodes one of so many digests.
func decodeAnswer(b []byte, cells int) (a answer, err error) {
	d, err := open(b)
	if err != nil {
		return a, err
	}
	flags := d.byte()
	if flags > flagForgot || cells > len(d.b) {
		return a, errMessage
	}
	a.forgot = flags == flagForgot
	a.digests = make([]series.Digest, cells)
	for i := range a.digests {
		if n := d.uvarint(math.MaxInt64); n > 0 {
			a.digests[i] = series.Digest{Samples: n, Sum: d.uint64()}
		}
	}
	return a, d.end()
}

// fields reads until the first error.
type fields struct {
	b      []byte
	failed bool
}

// open begins a message.
func open(b []byte) (*fields, error) {
	d := &fields{b: b}
	if v := d.byte(); d.failed || v != version {
		return nil, fmt.Errorf("%w: version %d, this node speaks %d", errMessage, v, version)
	}
	return d, nil
}

func (d *fields) end() error {
	if d.failed || len(d.b) > 0 {
		return errMessage
	}
	return nil
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

func (d *fields) uint64() uint64 {
	if len(d.b) < 8 {
		d.b, d.failed = nil, true
		return 0
	}
	x := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return x
}

func (d *fields) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > most {
		d.b, d.failed = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *fields) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.b, d.failed = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}
