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

func newIndexWriter(t *tables, h *header, times *timesWriter) *indexWriter {
	return &indexWriter{tables: t, header: h, times: times, collector: newCollector()}
}

// collect reads the labels of all series, in order.
func (w *indexWriter) collect(entries []entry) error {
	for i := range entries {
		if err := w.add(entries[i].labels, uint32(i)); err != nil {
			return err
		}
	}
	return nil
}

func (w *indexWriter) write(entries []entry) error {
	symbols, pairs := w.rank()
	w.header.symbols, w.header.labels, w.header.times = uint32(len(symbols)), w.total, uint32(len(w.times.columns))
	w.key = keys.AppendHeader(w.key[:0], w.header.Part)
	if err := w.tables.set(w.key, w.header.encode(nil)); err != nil {
		return err
	}
	if err := w.writeSymbols(symbols); err != nil {
		return err
	}
	if err := w.writeLabels(entries); err != nil {
		return err
	}
	if err := w.writeFingerprints(entries); err != nil {
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

func (w *indexWriter) writeLabels(entries []entry) error {
	var enc rowEncoder
	enc.reset()
	for i := range entries {
		enc.add(w.row(entries[i].labels))
		if enc.rows == rowsPerBlock || i == len(entries)-1 {
			if err := w.block(keys.Labels, i/rowsPerBlock, enc.buf); err != nil {
				return err
			}
			enc.reset()
		}
	}
	return nil
}

func (w *indexWriter) writeFingerprints(entries []entry) error {
	buf := make([]byte, 0, 8*fingerprintsPerBlock)
	for i := range entries {
		buf = appendFingerprint(buf, entries[i].fingerprint)
		if len(buf) == cap(buf) || i == len(entries)-1 {
			if err := w.block(keys.Fingerprints, i/fingerprintsPerBlock, buf); err != nil {
				return err
			}
			buf = buf[:0]
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
