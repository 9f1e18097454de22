package block

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/keys"
)

// An IndexRow is a row of a part's index as DumpIndex reads it.
type IndexRow struct {
	Section string
	Name    string // the number of a block, or the label of postings
	Bytes   int    // of the value, before compression
	Content []string
	Err     error // why it cannot be what was written
}

// DumpIndex calls fn for each row of the part's index, in key order, with its content as text unless
// that is not wanted. A damaged row ends nothing.
func (p *Part) DumpIndex(r pebble.Reader, content bool, fn func(IndexRow) error) error {
	start, end := keys.PartSpan(keys.Index, p.meta.Part)
	it, err := p.scan(r, start, end)
	if err != nil {
		return err
	}
	defer func() { _ = it.Close() }() // Its errors are in it.Error.
	for ok := it.First(); ok; ok = it.Next() {
		row := IndexRow{Bytes: len(it.Value())}
		k, err := keys.ParseIndex(it.Key())
		if err != nil {
			row.Section, row.Err = "unknown", err
		} else {
			row.describe(k, bytes.Clone(it.Value()), content)
		}
		if err := fn(row); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return p.readError("index", err)
	}
	return nil
}

var sectionNames = map[keys.Section]string{
	keys.Header: "header", keys.Symbols: "symbols", keys.Labels: "labels",
	keys.Postings: "postings", keys.Times: "times",
}

func (row *IndexRow) describe(k keys.IndexKey, value []byte, content bool) {
	row.Section, row.Name = sectionNames[k.Section], fmt.Sprint(k.Block)
	var lines []string
	switch k.Section {
	case keys.Header:
		row.Name = ""
		_, row.Err = decodeHeader(value)
	case keys.Symbols:
		lines, row.Err = symbolLines(value, k.Block*symbolsPerBlock)
	case keys.Labels:
		lines, row.Err = labelLines(value, k.Block*rowsPerBlock)
	case keys.Postings:
		row.Name = fmt.Sprintf("%s=%q", k.Name, k.Value)
		var b *roaring.Bitmap
		if b, row.Err = decodePostings(value, noRun); row.Err == nil {
			lines = []string{runsOf(b)}
		}
	case keys.Times:
		lines, row.Err = timesLines(value, k.Block*timesPerBlock)
	}
	if content {
		row.Content = lines
	}
}

func symbolLines(value []byte, first uint32) (lines []string, err error) {
	b, err := decodeSymbols(value)
	if err != nil {
		return nil, err
	}
	for i := range uint32(len(b.ends)) {
		s, _ := b.at(i)
		c := cursor{rest: []byte(s)}
		c.uvarint()
		lines = append(lines, fmt.Sprintf("%d: %q", first+i, c.rest))
	}
	return lines, nil
}

// labelLines prints rows as pairs of symbols' numbers.
func labelLines(value []byte, ordinal uint32) (lines []string, err error) {
	var d rowDecoder
	d.reset(value)
	for ; len(d.c.rest) > 0; ordinal++ {
		if err := d.next(); err != nil {
			return lines, err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%d:", ordinal)
		for i, name := range d.names() {
			fmt.Fprintf(&b, " %d=%d", name, d.values[i])
		}
		lines = append(lines, b.String())
	}
	return lines, nil
}

// runsOf prints ordinals, neighbours as a range.
func runsOf(b *roaring.Bitmap) string {
	var runs []string
	for it := b.Iterator(); it.HasNext(); {
		from := it.Next()
		to := from
		for it.HasNext() && it.PeekNext() == to+1 {
			to = it.Next()
		}
		if from == to {
			runs = append(runs, fmt.Sprint(from))
		} else {
			runs = append(runs, fmt.Sprintf("%d-%d", from, to))
		}
	}
	return strings.Join(runs, " ")
}

func timesLines(value []byte, first uint32) (lines []string, err error) {
	b, err := decodeTimesBlock(value)
	if err != nil {
		return nil, err
	}
	for i, t := range b.columns {
		lines = append(lines, fmt.Sprintf("%d: %d samples [%d, %d]", first+uint32(i), t.Samples(), t.MinT(), t.MaxT()))
	}
	return lines, nil
}
