package cardinality

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

const version = 1

// maxText bounds a metric's or a label's text, as the ways in do with lower limits.
const maxText = 32 << 20

var errMalformed = errors.New("malformed counts")

// Append appends the encoding.
func (c *Counts) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, version), c.Series)
	dst = binary.AppendUvarint(dst, c.Chunks)
	dst = binary.AppendVarint(binary.AppendVarint(dst, c.MinTime), c.MaxTime)
	dst = c.Pairs.append(dst)
	for _, list := range [...][]Ranked{c.Metrics, c.Labels} {
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		for _, r := range list {
			dst = binary.AppendUvarint(appendText(dst, r.Name), r.Value)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Names)))
	for i := range c.Names {
		n := &c.Names[i]
		dst = n.Values.append(binary.AppendUvarint(appendText(dst, n.Name), n.Bytes))
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (d *Distinct) append(dst []byte) []byte {
	d.sort()
	dst = binary.AppendUvarint(dst, uint64(d.limit))
	dst = binary.AppendUvarint(dst, uint64(len(d.hashes)))
	for _, h := range d.hashes {
		dst = binary.LittleEndian.AppendUint64(dst, h)
	}
	return dst
}

// Decode decodes counts. What they take is a small multiple of the bytes, which the caller has bounded.
func Decode(b []byte) (*Counts, error) {
	d := decoder{rest: b}
	if v := d.take(1); len(v) == 1 && v[0] != version {
		return nil, fmt.Errorf("%w: version %d, this node knows %d", errMalformed, v[0], version)
	}
	c := &Counts{Series: d.uvarint(), Chunks: d.uvarint(), MinTime: d.varint(), MaxTime: d.varint(), Pairs: d.distinct(Pairs)}
	for _, list := range [...]*[]Ranked{&c.Metrics, &c.Labels} {
		const least = 2 // bytes
		n := d.count(least)
		if n > 0 {
			*list = make([]Ranked, n)
		}
		for i := range *list {
			(*list)[i] = Ranked{d.text(), d.uvarint()}
		}
	}
	const least = 4
	if n := d.count(least); n > 0 {
		c.Names = make([]Name, n)
	}
	for i := range c.Names {
		c.Names[i] = Name{d.text(), d.uvarint(), d.distinct(Values)}
	}
	if d.err == nil && len(d.rest) > 0 {
		d.fail("%d bytes too many", len(d.rest))
	}
	if d.err != nil {
		return nil, d.err
	}
	return c, nil
}

// decoder reads until the first error.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
	}
	d.rest = nil
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.fail("cut short")
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

// uvarint is a number; sums of them don't overflow.
func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > math.MaxInt64>>8 {
		d.fail("a number of %d bytes", n)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail("cut short")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) text() string {
	n := d.uvarint()
	if n > maxText {
		d.fail("a text of %d bytes", n)
	}
	return string(d.take(n))
}

// count is how many things of so many bytes at least are to come.
func (d *decoder) count(least int) int {
	n := d.uvarint()
	if n > uint64(len(d.rest)/least) {
		d.fail("%d things in %d bytes", n, len(d.rest))
		return 0
	}
	return int(n)
}

func (d *decoder) distinct(most int) Distinct {
	limit := d.uvarint()
	n := d.count(8)
	if limit > uint64(most) || uint64(n) > limit {
		d.fail("%d hashes of %d, of which there are %d at most", n, limit, most)
		return Distinct{sorted: true}
	}
	x := NewDistinct(int(limit))
	if n > 0 {
		x.hashes = make([]uint64, n)
	}
	for i := range x.hashes {
		if b := d.take(8); b != nil {
			x.hashes[i] = binary.LittleEndian.Uint64(b)
		}
	}
	if d.err == nil && (!slices.IsSorted(x.hashes) || len(slices.Compact(slices.Clone(x.hashes))) < n) {
		d.fail("hashes out of order")
	}
	return x
}
