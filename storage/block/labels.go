package block

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/series"
)

// labelReader turns label rows into canonical label bytes. Ordinals come in ascending order, and
// neighbours begin with the same labels: what they share stays where it is.
type labelReader struct {
	part    *Part
	reader  pebble.Reader
	take    func(bytes int64) error // may be nil
	symbols []*symbolBlock          // those needed so far

	rows  rowDecoder
	block []byte // being decoded
	next  uint32 // the ordinal of the row that rows.next steps to

	text series.Labels
	ends []int // where each label ends in text
}

func newLabelReader(p *Part, r pebble.Reader, h *header) *labelReader {
	blocks := (uint64(h.symbols) + symbolsPerBlock - 1) / symbolsPerBlock
	return &labelReader{part: p, reader: r, symbols: make([]*symbolBlock, blocks)}
}

// labels of the series with the ordinal, whose label row is in block; ordinals come in ascending
// order. The result is valid until the next call.
func (l *labelReader) labels(block []byte, ordinal uint32) (series.Labels, error) {
	if first := ordinal - ordinal%rowsPerBlock; l.block == nil || l.next <= first {
		l.block, l.next = block, first
		l.rows.reset(block)
		l.text, l.ends = l.text[:0], l.ends[:0]
	}
	for ; l.next <= ordinal; l.next++ {
		if err := l.rows.next(); err != nil {
			return nil, l.part.readError("labels", err)
		}
	}
	return l.spell()
}

// spell writes the row at hand as label bytes, keeping what is equal to those written before.
func (l *labelReader) spell() (series.Labels, error) {
	same := min(l.rows.same, len(l.ends))
	l.ends = l.ends[:same]
	end := 0
	if same > 0 {
		end = l.ends[same-1]
	}
	l.text = l.text[:end]
	names := l.rows.names()
	for i := same; i < len(names); i++ {
		name, err := l.symbol(names[i])
		if err != nil {
			return nil, err
		}
		value, err := l.symbol(l.rows.values[i])
		if err != nil {
			return nil, err
		}
		l.text = append(append(l.text, name...), value...)
		l.ends = append(l.ends, len(l.text))
	}
	l.rows.mark()
	return l.text, nil
}

func (l *labelReader) symbol(ref uint32) (string, error) {
	n := ref >> symbolBits
	if n >= uint32(len(l.symbols)) {
		return "", l.part.readError("labels", decodeErrorf("there is no symbol %d", ref))
	}
	b := l.symbols[n]
	if b == nil {
		var err error
		if b, err = l.part.symbolBlock(l.reader, n); err != nil {
			return "", err
		}
		if l.take != nil {
			if err := l.take(b.size()); err != nil {
				return "", err
			}
		}
		l.symbols[n] = b
	}
	s, ok := b.at(ref % symbolsPerBlock)
	if !ok {
		return "", l.part.readError("labels", decodeErrorf("there is no symbol %d", ref))
	}
	return s, nil
}
