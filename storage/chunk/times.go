package chunk

import (
	"bytes"
	"encoding/binary"
	"math"
	"sync"
)

// Times is a column of timestamps that chunks of several series have in common: those of one
// target are mostly scraped together. It is decoded once, by whoever needs it first, and never
// changes. It may be used concurrently.
type Times struct {
	samples    int
	minT, maxT int64
	form       uint8
	packed     []byte

	once sync.Once
	ts   []int64
	err  error
}

// DecodeTimes returns the column that AppendTimes wrote. It keeps b; what is packed in it is looked
// at when the timestamps are needed.
func DecodeTimes(b []byte) (*Times, error) {
	size := len(b)
	n, ok := cutUvarint(&b)
	if !ok || n == 0 || n > MaxDecimalSamples {
		return nil, corruptf("times of %d samples in %d bytes", n, size)
	}
	mint, k := binary.Varint(b)
	if k <= 0 {
		return nil, corruptf("times cut short")
	}
	b = b[k:]
	span, ok := cutUvarint(&b)
	t := &Times{samples: int(n), minT: mint, maxT: mint + int64(span)}
	if !ok || int64(span) < int64(n)-1 || t.maxT < mint || len(b) == 0 {
		return nil, corruptf("times of %d samples from %d on", n, mint)
	}
	t.form, t.packed = b[0], b[1:]
	if t.form > 15 || t.form == formShared {
		return nil, corruptf("times of form %d", t.form)
	}
	return t, nil
}

// Samples is the number of timestamps.
func (t *Times) Samples() int { return t.samples }

// MinT is the first timestamp.
func (t *Times) MinT() int64 { return t.minT }

// MaxT is the last timestamp.
func (t *Times) MaxT() int64 { return t.maxT }

// Size is what the column takes in memory once it is decoded.
func (t *Times) Size() int64 { return int64(len(t.packed)) + 8*int64(t.samples) + 128 }

// decoded returns the timestamps; the caller may not write to them.
func (t *Times) decoded() ([]int64, error) {
	t.once.Do(func() {
		ts := make([]int64, t.samples)
		if t.err = decodeTimes(ts, t.packed, t.form, t.minT, t.maxT); t.err == nil {
			t.ts = ts
		}
	})
	return t.ts, t.err
}

func (t *Times) equal(u *Times) bool {
	return t == u || t != nil && u != nil && t.samples == u.samples && t.minT == u.minT && t.maxT == u.maxT &&
		t.form == u.form && bytes.Equal(t.packed, u.packed)
}

// HasTimes reports whether the chunk's timestamps are a column apart from its values.
func (c Chunk) HasTimes() bool { return c.formAt() < len(c.Data) }

// Regular reports whether the chunk says by its form that its timestamps are equally far apart, and
// how far. Others may be so too.
func (c Chunk) Regular() (distance int64, ok bool) {
	form, packed, _, err := c.split()
	if err != nil || form != formFlat || c.Samples < 2 || len(packed) > 0 {
		return 0, false
	}
	gaps := int64(c.Samples - 1)
	distance = (c.MaxT - c.MinT) / gaps
	return distance, distance > 0 && distance*gaps == c.MaxT-c.MinT
}

// formAt is where the byte with the form of the times stands, before the times.
func (c Chunk) formAt() int {
	switch c.Enc {
	case Decimal:
		return 0
	case Packed:
		return 1
	}
	return math.MaxInt
}

// shared reports whether the data lacks the times.
func (c Chunk) shared() bool { return c.HasTimes() && c.Data[c.formAt()]&15 == formShared }

// AppendTimes appends the column of the chunk's timestamps, which must be one, to dst. Equal
// timestamps give equal bytes.
func (c Chunk) AppendTimes(dst []byte) ([]byte, error) {
	form, packed, _, err := c.split()
	if err != nil {
		return dst, err
	}
	dst = binary.AppendUvarint(dst, uint64(c.Samples))
	dst = binary.AppendVarint(dst, c.MinT)
	dst = binary.AppendUvarint(dst, uint64(c.MaxT-c.MinT))
	return append(append(dst, form), packed...), nil
}

// split returns the chunk's times, with their form, and what follows them.
func (c Chunk) split() (form uint8, packed, rest []byte, err error) {
	if !c.HasTimes() {
		return 0, nil, nil, corruptf("%d samples in %d bytes", c.Samples, len(c.Data))
	}
	at := c.formAt()
	form, rest = c.Data[at]&15, c.Data[at+1:]
	switch form {
	case formFlat:
		return form, nil, rest, nil
	case formShared:
		t := c.Times
		if t == nil || t.samples != c.Samples || t.minT != c.MinT || t.maxT != c.MaxT {
			return 0, nil, nil, corruptf("%d samples from %d to %d without their times", c.Samples, c.MinT, c.MaxT)
		}
		return t.form, t.packed, rest, nil
	}
	size, ok := cutUvarint(&rest)
	if !ok || size > uint64(len(rest)) {
		return 0, nil, nil, corruptf("times cut short")
	}
	return form, rest[:size:size], rest[size:], nil
}

// appendData appends the chunk's data, with its times or without them, to dst.
func (c Chunk) appendData(dst []byte, shared bool) ([]byte, error) {
	if !c.HasTimes() || !shared && !c.shared() {
		return append(dst, c.Data...), nil
	}
	form, packed, rest, err := c.split()
	if err != nil {
		return dst, err
	}
	at := c.formAt()
	dst = append(dst, c.Data[:at]...)
	values := c.Data[at] &^ 15
	if shared {
		return append(append(dst, values|formShared), rest...), nil
	}
	dst = append(dst, values|form)
	if form != formFlat {
		dst = binary.AppendUvarint(dst, uint64(len(packed)))
		dst = append(dst, packed...)
	}
	return append(dst, rest...), nil
}

// decodeTimes sets ts to the times that are packed.
func decodeTimes(ts []int64, packed []byte, form uint8, minT, maxT int64) error {
	n, span := len(ts), maxT-minT
	switch form {
	case formFlat:
		return regularTimes(ts, packed, minT, span)
	case formLine:
		return corruptf("times of form %d", form)
	}
	var r columnReader
	lead, ok := r.begin(packed, form, minT, span, n)
	if !ok {
		return corruptf("times of form %d", form)
	}
	r.lead(ts[:lead])
	for out := ts[lead:]; len(out) > 0; {
		m := min(len(out), blockLen)
		if !r.next(out[:m]) {
			return corruptf("times cut short")
		}
		out = out[m:]
	}
	back := int64(0)
	for i := range ts[1:] {
		back |= ts[i+1] - ts[i] - 1
	}
	if back < 0 {
		return corruptf("time does not advance")
	}
	if last := ts[n-1]; last != maxT || len(r.b) > 0 {
		return corruptf("ends at %d, not at %d, %d bytes before the end", last, maxT, len(r.b))
	}
	return nil
}

func regularTimes(ts []int64, packed []byte, t, span int64) error {
	n, step := int64(len(ts)), int64(0)
	if n > 1 {
		step = span / (n - 1)
	}
	if step*(n-1) != span || len(packed) > 0 {
		return corruptf("%d regular samples in %d ms and %d bytes", n, span, len(packed))
	}
	fillLine(ts, t, step)
	return nil
}

// appendTimes appends the timestamps of the chunk to dst and returns what follows them in its data.
func (c Chunk) appendTimes(dst []int64) ([]int64, []byte, error) {
	form, packed, rest, err := c.split()
	switch {
	case err != nil:
	case c.shared() && form != formFlat:
		var ts []int64
		ts, err = c.Times.decoded()
		dst = append(dst, ts...)
	default:
		from := len(dst)
		grew := grown(dst, c.Samples)
		if err = decodeTimes(grew[from:], packed, form, c.MinT, c.MaxT); err == nil {
			dst = grew
		}
	}
	return dst, rest, err
}
