package block

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/keys"
)

// source is the index of a part for index.Select and its like: postings are read off Pebble as
// they are asked for. It is for one goroutine and has to be closed.
type source struct {
	part   *Part
	reader pebble.Reader
	header *header
	// hidden are the ordinals that are not read; nil is none.
	hidden *roaring.Bitmap

	lookup *pebble.Iterator // for Postings, opened at the first
	walk   *pebble.Iterator // of the innermost Values that runs
	key    []byte
}

func (p *Part) source(r pebble.Reader) (*source, error) {
	h, err := p.header(r)
	if err != nil {
		return nil, err
	}
	s := &source{part: p, reader: r, header: h}
	if hidden := p.hidden.Load(); hidden != nil {
		s.hidden = h.within(hidden)
	}
	return s, nil
}

func (s *source) close() {
	if s.lookup != nil {
		_ = s.lookup.Close() // Its errors were seen when it was used.
	}
}

// All ordinals of the part.
func (s *source) All() *roaring.Bitmap {
	b := roaring.New()
	b.AddRange(0, uint64(s.header.count()))
	return s.visible(b)
}

// visible takes what is hidden out of b.
func (s *source) visible(b *roaring.Bitmap) *roaring.Bitmap {
	if s.hidden != nil {
		b.AndNot(s.hidden)
	}
	return b
}

// Postings of a label; nil if there are none, or all are hidden.
func (s *source) Postings(name, value string) (*roaring.Bitmap, error) {
	b, err := s.postings(name, value)
	if b == nil || s.visible(b).IsEmpty() {
		return nil, err
	}
	return b, nil
}

func (s *source) postings(name, value string) (*roaring.Bitmap, error) {
	s.key = keys.AppendPosting(s.key[:0], s.part.meta.Part, name, value)
	it := s.walk
	if it == nil || !bytes.Equal(it.Key(), s.key) {
		var err error
		if it, err = s.seek(); it == nil {
			return nil, err
		}
	}
	row, err := it.ValueAndErr()
	if err != nil {
		return nil, s.part.readError("postings of "+clip(name), err)
	}
	b, err := decodePostings(bytes.Clone(row), s.header.count())
	if err != nil {
		return nil, s.part.readError("postings of "+clip(name), err)
	}
	return b, nil
}

// seek puts the iterator for look-ups on the row with the key; nil if there is none. Labels are
// mostly asked for in order, of which the iterator makes use.
func (s *source) seek() (*pebble.Iterator, error) {
	if s.lookup == nil {
		start, end := keys.SectionSpan(s.part.meta.Part, keys.Postings)
		it, err := s.part.scan(s.reader, start, end)
		if err != nil {
			return nil, err
		}
		s.lookup = it
	}
	if s.lookup.SeekGE(s.key) && bytes.Equal(s.lookup.Key(), s.key) {
		return s.lookup, nil
	}
	if err := s.lookup.Error(); err != nil {
		return nil, s.part.readError("postings", err)
	}
	return nil, nil
}

// Values of a label, from the keys alone unless something is hidden. While fn has a value, Postings of
// it costs no look-up.
func (s *source) Values(name string, fn func(value string) bool) error {
	if s.hidden == nil {
		return s.values(name, fn)
	}
	var failed error
	err := s.values(name, func(value string) bool {
		var b *roaring.Bitmap
		if b, failed = s.Postings(name, value); failed != nil {
			return false
		}
		return b == nil || fn(value)
	})
	return errors.Join(failed, err)
}

func (s *source) values(name string, fn func(value string) bool) error {
	start, end := keys.PostingsSpan(s.part.meta.Part, name)
	it, err := s.part.scan(s.reader, start, end)
	if err != nil {
		return err
	}
	outer := s.walk
	s.walk = it
	defer func() {
		s.walk = outer
		_ = it.Close() // Its error is seen below.
	}()
	for ok := it.First(); ok; ok = it.Next() {
		if !fn(string(it.Key()[len(start):])) {
			return nil
		}
	}
	if err := it.Error(); err != nil {
		return s.part.readError("values of "+clip(name), err)
	}
	return nil
}

// Names of labels, from the keys alone unless something is hidden: one seek for each.
func (s *source) Names(fn func(name string) bool) error {
	if s.hidden == nil {
		return s.names(fn)
	}
	var failed error
	err := s.names(func(name string) bool {
		found := false
		failed = s.Values(name, func(string) bool {
			found = true
			return false
		})
		return failed == nil && (!found || fn(name))
	})
	return errors.Join(failed, err)
}

func (s *source) names(fn func(name string) bool) error {
	start, end := keys.SectionSpan(s.part.meta.Part, keys.Postings)
	it, err := s.part.scan(s.reader, start, end)
	if err != nil {
		return err
	}
	defer func() { _ = it.Close() }() // Its errors are in it.Error.
	for ok := it.First(); ok; {
		k, err := keys.ParseIndex(it.Key())
		if err != nil {
			return s.part.readError("label names", decodeErrorf("%v", err))
		}
		name := string(k.Name)
		if !fn(name) {
			return nil
		}
		_, behind := keys.PostingsSpan(s.part.meta.Part, name)
		ok = it.SeekGE(behind)
	}
	if err := it.Error(); err != nil {
		return s.part.readError("label names", err)
	}
	return nil
}

// clip bounds what an error prints of a name.
func clip(name string) string { return fmt.Sprintf("%.64q", name) }
