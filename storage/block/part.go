package block

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/index"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// Part reads a part. It may be used concurrently, and as long as the part exists.
type Part struct {
	meta  Meta
	cache *Cache
	// hidden are the shards that are not read; nil is none.
	hidden atomic.Pointer[series.ShardSet]
	// trimmed is how many of the bytes on disk have gone with them.
	trimmed atomic.Int64
}

// Open returns the part that meta, of List or Builder.Finish, describes. Nothing is read yet.
func Open(meta Meta, cache *Cache) *Part { return &Part{meta: meta, cache: cache} }

// Meta of the part as it was written, but for the bytes on disk, of which some may be trimmed.
func (p *Part) Meta() Meta {
	m := p.meta
	m.Bytes -= p.trimmed.Load()
	return m
}

// LabelNames returns the label names of the series that match, in order. Of the selector the
// matchers and Take count.
func (p *Part) LabelNames(r pebble.Reader, sel series.Selector) ([]string, error) {
	s, err := p.source(r)
	if err != nil {
		return nil, err
	}
	defer s.close()
	names, err := index.LabelNames(s, sel.Take, sel.Matchers...)
	if err != nil {
		return nil, fmt.Errorf("label names of part %s: %w", p.meta.Part, err)
	}
	return names, nil
}

// LabelValues is LabelNames for the values of a label.
func (p *Part) LabelValues(r pebble.Reader, name string, sel series.Selector) ([]string, error) {
	s, err := p.source(r)
	if err != nil {
		return nil, err
	}
	defer s.close()
	values, err := index.LabelValues(s, sel.Take, name, sel.Matchers...)
	if err != nil {
		return nil, fmt.Errorf("label values of part %s: %w", p.meta.Part, err)
	}
	return values, nil
}

// readError is the error of a read of the part. What cannot be what was written is counted and
// marked with ErrCorrupt; Pebble's own error says which table and which block of it.
func (p *Part) readError(what string, err error) error {
	missing := errors.Is(err, pebble.ErrNotFound)
	if missing || pebble.IsCorruptionError(err) || errors.Is(err, errDecode) {
		p.cache.metrics.corruptions.Inc()
		return fmt.Errorf("part %s: %s: %w: %w", p.meta.Part, what, ErrCorrupt, err)
	}
	return fmt.Errorf("part %s: read %s: %w", p.meta.Part, what, err)
}

// header is read through the cache.
func (p *Part) header(r pebble.Reader) (*header, error) {
	key := cacheKey{part: p.meta.Part, section: keys.Header}
	if h, ok := p.cache.get(key).(*header); ok {
		return h, nil
	}
	h, err := readHeader(r, p.meta.Part)
	if err != nil {
		return nil, p.readError("header", err)
	}
	p.cache.put(key, h)
	return h, nil
}

func readHeader(r pebble.Reader, part keys.Part) (*header, error) {
	value, closer, err := r.Get(keys.AppendHeader(nil, part))
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	h, err := decodeHeader(value)
	if err != nil {
		return nil, err
	}
	if h.Part != part {
		return nil, decodeErrorf("header is of part %s", h.Part)
	}
	return h, nil
}

func (h *header) size() int64 { return int64(6*len(h.shards)) + 160 }

// symbolBlock is read through the cache.
func (p *Part) symbolBlock(r pebble.Reader, n uint32) (*symbolBlock, error) {
	return cachedBlock(p, r, keys.Symbols, n, "symbols", decodeSymbols)
}

// cachedBlock reads a block of a section through the cache. What decode returns may keep its
// argument.
func cachedBlock[T cached](
	p *Part, r pebble.Reader, s keys.Section, n uint32, what string, decode func([]byte) (T, error),
) (T, error) {
	key := cacheKey{part: p.meta.Part, section: s, block: n}
	if b, ok := p.cache.get(key).(T); ok {
		return b, nil
	}
	var none T
	value, closer, err := r.Get(keys.AppendBlock(nil, p.meta.Part, s, n))
	if err != nil {
		return none, p.readError(fmt.Sprintf("%s %d", what, n), err)
	}
	defer closer.Close()
	b, err := decode(bytes.Clone(value))
	if err != nil {
		return none, p.readError(fmt.Sprintf("%s %d", what, n), err)
	}
	p.cache.put(key, b)
	return b, nil
}

// scan opens an iterator of the part's rows between two keys, end exclusive.
func (p *Part) scan(r pebble.Reader, start, end []byte) (*pebble.Iterator, error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return nil, fmt.Errorf("part %s: open iterator: %w", p.meta.Part, err)
	}
	return it, nil
}
