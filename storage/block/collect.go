package block

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/barograph-db/barograph/storage/series"
)

// collector gathers the index of a part from series that come in ordinal order, and keeps nothing
// that it is given: of a series stay some 15 bytes.
//
// Postings are kept as runs of consecutive ordinals, all in one list, each pointing to the next of
// its label: a label that changes with each series costs 12 bytes a series, one that does not,
// nothing. Bitmaps are made one at a time when they are written.
type collector struct {
	symbols map[string]uint32 // numbered in order of arrival until rank
	texts   []string          // of the symbols
	pairs   map[uint64]uint32 // name<<32|value to the number of the label
	labels  []pair
	runs    []run
	total   uint64 // labels of all series

	rows   [][]byte // label rows by block: for each row the number of labels, then theirs
	row    []byte   // the rows of the block at hand
	series uint32

	last    []lastLabel // of the series before
	names   []uint32
	values  []uint32
	numbers []uint32 // by order of arrival: the symbol's number in the part
}

// lastLabel is a label of the series at hand and, unless pair is noRun, its numbers.
type lastLabel struct {
	name, value       string
	nameRef, valueRef uint32
	pair              uint32
}

// pair is a label with its postings, the chain of runs from first to last.
type pair struct{ name, value, first, last uint32 }

// run is the ordinals from from to to, to not included. next is the following run, or noRun.
type run struct{ from, to, next uint32 }

const noRun = math.MaxUint32

func newCollector() *collector {
	return &collector{symbols: map[string]uint32{}, pairs: map[uint64]uint32{}}
}

// look finds the symbols of the labels of ls, which come after those of the last call in order:
// neighbours share most of them, so most are found without a look-up.
func (c *collector) look(ls series.Labels) {
	i := 0
	for name, value := range ls.All() {
		if i == len(c.last) {
			c.last = append(c.last, lastLabel{pair: noRun})
		}
		p := &c.last[i]
		i++
		sameName := p.name == string(name)
		if sameName && p.value == string(value) && p.pair != noRun {
			continue
		}
		if !sameName || p.pair == noRun {
			p.nameRef = c.symbol(name)
			p.name = c.texts[p.nameRef]
		}
		p.valueRef = c.symbol(value)
		p.value = c.texts[p.valueRef]
		p.pair = c.pair(p.nameRef, p.valueRef)
	}
	c.last = c.last[:i]
}

// add takes the next series in.
func (c *collector) add(ls series.Labels) error {
	c.look(ls)
	c.total += uint64(len(c.last))
	ordinal := c.series
	c.keepRow()
	c.series++
	for i := range c.last {
		p := &c.labels[c.last[i].pair]
		if p.last != noRun && c.runs[p.last].to == ordinal {
			c.runs[p.last].to++
			continue
		}
		if len(c.runs) == noRun {
			return fmt.Errorf("series %s: too many postings", ls)
		}
		c.runs = append(c.runs, run{ordinal, ordinal + 1, noRun})
		at := uint32(len(c.runs) - 1)
		if p.last == noRun {
			p.first = at
		} else {
			c.runs[p.last].next = at
		}
		p.last = at
	}
	return nil
}

// keepRow adds the labels at hand to the rows.
func (c *collector) keepRow() {
	if c.series%rowsPerBlock == 0 && c.series > 0 {
		c.cutRows()
	}
	c.row = binary.AppendUvarint(c.row, uint64(len(c.last)))
	for i := range c.last {
		c.row = binary.AppendUvarint(c.row, uint64(c.last[i].pair))
	}
}

func (c *collector) cutRows() {
	c.rows = append(c.rows, bytes.Clone(c.row))
	c.row = c.row[:0]
}

func (c *collector) symbol(b []byte) uint32 {
	if n, ok := c.symbols[string(b)]; ok {
		return n
	}
	n := uint32(len(c.texts))
	text := string(b)
	c.symbols[text] = n
	c.texts = append(c.texts, text)
	return n
}

func (c *collector) pair(name, value uint32) uint32 {
	key := uint64(name)<<32 | uint64(value)
	if n, ok := c.pairs[key]; ok {
		return n
	}
	n := uint32(len(c.labels))
	c.pairs[key] = n
	c.labels = append(c.labels, pair{name, value, noRun, noRun})
	return n
}

// rank numbers the symbols in their order, and orders the labels by name and value.
func (c *collector) rank() (symbols []string, pairs []pair) {
	order := make([]uint32, len(c.texts))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(c.texts[a], c.texts[b]) })
	c.numbers = make([]uint32, len(order))
	symbols = make([]string, len(order))
	for n, arrival := range order {
		c.numbers[arrival] = uint32(n)
		symbols[n] = c.texts[arrival]
	}
	pairs = slices.Clone(c.labels)
	slices.SortFunc(pairs, func(a, b pair) int {
		if a.name != b.name {
			return cmp.Compare(c.numbers[a.name], c.numbers[b.name])
		}
		return cmp.Compare(c.numbers[a.value], c.numbers[b.value])
	})
	return symbols, pairs
}

// takeRow cuts a row off a block of rows and returns the numbers of its names and values, valid
// until the next call. It is for after rank.
func (c *collector) takeRow(rows []byte) (names, values []uint32, rest []byte) {
	c.names, c.values = c.names[:0], c.values[:0]
	labels, n := binary.Uvarint(rows)
	for rows = rows[n:]; labels > 0; labels-- {
		number, n := binary.Uvarint(rows)
		rows = rows[n:]
		p := c.labels[number]
		c.names = append(c.names, c.numbers[p.name])
		c.values = append(c.values, c.numbers[p.value])
	}
	return c.names, c.values, rows
}

// postings puts the ordinals of p into b.
func (c *collector) postings(b *roaring.Bitmap, p pair, scratch []uint32) []uint32 {
	b.Clear()
	scratch = scratch[:0]
	for at := p.first; at != noRun; at = c.runs[at].next {
		r := c.runs[at]
		if r.to-r.from > 16 {
			b.AddMany(scratch)
			scratch = scratch[:0]
			b.AddRange(uint64(r.from), uint64(r.to))
			continue
		}
		for o := r.from; o < r.to; o++ {
			scratch = append(scratch, o)
		}
	}
	b.AddMany(scratch)
	b.RunOptimize()
	return scratch
}
