package block

import (
	"bytes"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/barograph-db/barograph/storage/keys"
)

// indexWriter writes the index of a part, section by section in key order.
type indexWriter struct {
	tables *tables
	header *header
	times  *timesWriter
	*collector

	key []byte
	buf bytes.Buffer
}

func newIndexWriter(t *tables, h *header, c *collector, times *timesWriter) *indexWriter {
	return &indexWriter{tables: t, header: h, times: times, collector: c}
}

func (w *indexWriter) write() error {
	symbols, pairs := w.rank()
	w.header.symbols, w.header.labels, w.header.times = uint32(len(symbols)), w.total, uint32(len(w.times.columns))
	w.key = keys.AppendHeader(w.key[:0], w.header.Part)
	if err := w.tables.set(w.key, w.header.encode(nil)); err != nil {
		return err
	}
	if err := w.writeSymbols(symbols); err != nil {
		return err
	}
	if err := w.writeLabels(); err != nil {
		return err
	}
	if err := w.writePostings(symbols, pairs); err != nil {
		return err
	}
	if err := w.times.blocks(func(n int, b []byte) error { return w.block(keys.Times, n, b) }); err != nil {
		return err
	}
	return w.tables.cut()
}

// block writes a block of a section.
func (w *indexWriter) block(s keys.Section, n int, value []byte) error {
	w.key = keys.AppendBlock(w.key[:0], w.header.Part, s, uint32(n))
	return w.tables.set(w.key, value)
}

func (w *indexWriter) writeSymbols(symbols []string) error {
	var buf []byte
	for n := 0; n*symbolsPerBlock < len(symbols); n++ {
		buf = buf[:0]
		for _, s := range symbols[n*symbolsPerBlock : min((n+1)*symbolsPerBlock, len(symbols))] {
			buf = appendSymbol(buf, s)
		}
		if err := w.block(keys.Symbols, n, buf); err != nil {
			return err
		}
	}
	return nil
}

func (w *indexWriter) writeLabels() error {
	var enc rowEncoder
	w.cutRows()
	for n, rows := range w.rows {
		enc.reset()
		for len(rows) > 0 {
			var names, values []uint32
			names, values, rows = w.takeRow(rows)
			enc.add(names, values)
		}
		if err := w.block(keys.Labels, n, enc.buf); err != nil {
			return err
		}
	}
	return nil
}

func (w *indexWriter) writePostings(symbols []string, pairs []pair) error {
	bitmap := roaring.New()
	var ordinals []uint32
	for _, p := range pairs {
		ordinals = w.postings(bitmap, p, ordinals)
		w.buf.Reset()
		if err := appendPostings(&w.buf, bitmap); err != nil {
			return err
		}
		name, value := symbols[w.numbers[p.name]], symbols[w.numbers[p.value]]
		w.key = keys.AppendPosting(w.key[:0], w.header.Part, name, value)
		if err := w.tables.set(w.key, w.buf.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
