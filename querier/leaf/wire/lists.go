package wire

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// codec is how the items of a list are sent. It may remember what came before.
type codec[T any] interface {
	append(dst []byte, item T) []byte
	decode(d *decoder) T
	// size is about what an item takes in memory.
	size(item T) int64
}

// sendList sends all items, in batches.
func sendList[T any](s *sender, items []T, c codec[T]) error {
	var head, body []byte
	for n := 0; len(items) > 0; items = items[n:] {
		body = body[:0]
		for n = 0; n < len(items) && len(body) < batchBytes; n++ {
			body = c.append(body, items[n])
		}
		head = append(binary.AppendUvarint(head[:0], uint64(n)), body...)
		if err := s.sendBatch(head, nil); err != nil {
			return err
		}
	}
	return nil
}

// decodeList appends the items of a batch.
func decodeList[T any](dst []T, body []byte, c codec[T], take func(int64) error) ([]T, error) {
	head, rows, err := openBatch(body, take)
	if err != nil {
		return dst, err
	}
	if len(rows) > 0 {
		return dst, malformed("rows in a list")
	}
	d := decoder{rest: head}
	for range d.count(1) {
		item := c.decode(&d)
		if d.err != nil {
			break
		}
		if err := take(c.size(item)); err != nil {
			return dst, err
		}
		dst = append(dst, item)
	}
	return dst, d.end()
}

// sortedStrings leave out what they share with the one before.
type sortedStrings struct {
	last  []byte
	begun bool
}

func (s *sortedStrings) append(dst []byte, item string) []byte {
	shared := 0
	for shared < min(len(item), len(s.last)) && item[shared] == s.last[shared] {
		shared++
	}
	s.last = append(s.last[:shared], item[shared:]...)
	return appendText(binary.AppendUvarint(dst, uint64(shared)), item[shared:])
}

// maxText bounds a label's name or value; the ways in have lower limits.
const maxText = 16 << 20

func (s *sortedStrings) decode(d *decoder) string {
	shared, rest := d.uvarint(), d.text()
	if shared > uint64(len(s.last)) || int(shared)+len(rest) > maxText {
		d.fail("shares %d of %d bytes", shared, len(s.last))
		return ""
	}
	next := append(slices.Clip(s.last[:shared]), rest...)
	if s.begun && string(next) <= string(s.last) {
		d.fail("%.64q out of order", next)
	}
	s.last, s.begun = next, true
	return string(next)
}

func (s *sortedStrings) size(item string) int64 { return 16 + int64(len(item)) }

type exemplars struct{}

func (exemplars) append(dst []byte, s frame.ExemplarSeries) []byte {
	dst = appendText(dst, s.Labels)
	dst = binary.AppendUvarint(dst, uint64(len(s.Exemplars)))
	for _, x := range s.Exemplars {
		dst = binary.AppendVarint(dst, x.T)
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x.V))
		dst = appendText(dst, x.Labels)
	}
	return dst
}

func (exemplars) decode(d *decoder) frame.ExemplarSeries {
	const least = 10 // bytes of an exemplar
	s := frame.ExemplarSeries{Labels: d.labels()}
	if n := d.count(least); n > 0 {
		s.Exemplars = make([]frame.Exemplar, n)
	}
	for i := range s.Exemplars {
		s.Exemplars[i] = frame.Exemplar{T: d.varint(), V: d.float(), Labels: d.labels()}
	}
	return s
}

func (exemplars) size(s frame.ExemplarSeries) int64 {
	const header, each = 64, 64
	return header + each*int64(len(s.Exemplars)) // Labels are views of what was taken.
}

func (d *decoder) labels() series.Labels {
	b := d.text()
	if len(b) == 0 {
		return nil
	}
	if err := series.Labels(b).Validate(); err != nil {
		d.fail("%v", err)
	}
	return b
}

type metadata struct{}

func (metadata) append(dst []byte, m frame.Metadata) []byte {
	for _, text := range [...]string{m.Metric, m.Type, m.Help, m.Unit} {
		dst = appendText(dst, text)
	}
	return dst
}

func (metadata) decode(d *decoder) frame.Metadata {
	return frame.Metadata{Metric: string(d.text()), Type: string(d.text()), Help: string(d.text()), Unit: string(d.text())}
}

func (metadata) size(m frame.Metadata) int64 {
	const header = 64
	return header + int64(len(m.Metric)+len(m.Type)+len(m.Help)+len(m.Unit))
}

// counts are as package cardinality has them.
type counts struct{}

func (counts) append(dst []byte, c *cardinality.Counts) []byte { return appendText(dst, c.Append(nil)) }

func (counts) decode(d *decoder) *cardinality.Counts {
	text := d.text()
	if d.err != nil {
		return nil
	}
	c, err := cardinality.Decode(text)
	if err != nil {
		d.fail("%v", err)
	}
	return c
}

func (counts) size(c *cardinality.Counts) int64 {
	const rankedBytes, nameBytes, hashBytes = 64, 128, 8
	n := hashBytes * int64(c.Pairs.Held())
	n += rankedBytes * int64(len(c.Metrics)+len(c.Labels))
	for i := range c.Names {
		n += nameBytes + hashBytes*int64(c.Names[i].Values.Held())
	}
	return n
}
