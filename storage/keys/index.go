package keys

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Section is a kind of index rows of a part.
type Section byte

// The sections, in key order.
const (
	Header   Section = 0
	Symbols  Section = 1
	Labels   Section = 2
	Postings Section = 3
	Times    Section = 4
)

// IndexKey is a decoded index key.
type IndexKey struct {
	Part    Part
	Section Section
	Block   uint32 // Symbols, Labels and Times
	Name    []byte // Postings
	Value   []byte // Postings; a view into the key
}

// The escapes of a label name, see doc.go.
const (
	escape     = 0x00
	escapeEnd  = 0x01
	escapeZero = 0xff
)

// AppendHeader appends the key of a part's header.
func AppendHeader(dst []byte, p Part) []byte {
	return append(AppendPart(dst, Index, p), byte(Header))
}

// AppendBlock appends the key of a block of the sections Symbols, Labels and Times.
func AppendBlock(dst []byte, p Part, s Section, block uint32) []byte {
	dst = append(AppendPart(dst, Index, p), byte(s))
	return binary.BigEndian.AppendUint32(dst, block)
}

// SetBlock changes the block of a key that AppendBlock made alone in its slice.
func SetBlock(key []byte, block uint32) { binary.BigEndian.PutUint32(key[partLen+1:], block) }

// AppendPosting appends the key of the postings of a label.
func AppendPosting[S ~string | ~[]byte](dst []byte, p Part, name, value S) []byte {
	return append(AppendPostings(dst, p, name), value...)
}

// AppendPostings appends the prefix that the postings of all values of a label name have.
func AppendPostings[S ~string | ~[]byte](dst []byte, p Part, name S) []byte {
	dst = append(AppendPart(dst, Index, p), byte(Postings))
	for i := range len(name) {
		dst = append(dst, name[i])
		if name[i] == escape {
			dst = append(dst, escapeZero)
		}
	}
	return append(dst, escape, escapeEnd)
}

// PostingsSpan bounds the postings of all values of a label name.
func PostingsSpan(p Part, name string) (start, end []byte) {
	start = AppendPostings(nil, p, name)
	return start, successor(start)
}

// SectionSpan bounds a section of a part.
func SectionSpan(p Part, s Section) (start, end []byte) {
	start = append(AppendPart(make([]byte, 0, partLen+1), Index, p), byte(s))
	return start, successor(start)
}

// ParseIndex decodes an index key.
func ParseIndex(key []byte) (IndexKey, error) {
	c, p, rest, err := ParsePart(key)
	if err != nil {
		return IndexKey{}, err
	}
	if c != Index || len(rest) == 0 {
		return IndexKey{}, fmt.Errorf("%w: %x is not of an index", errKey, clip(key))
	}
	k := IndexKey{Part: p, Section: Section(rest[0])}
	rest = rest[1:]
	switch k.Section {
	case Header:
		if len(rest) == 0 {
			return k, nil
		}
	case Symbols, Labels, Times:
		if len(rest) == 4 {
			k.Block = binary.BigEndian.Uint32(rest)
			return k, nil
		}
	case Postings:
		var ok bool
		if k.Name, k.Value, ok = cutName(rest); ok {
			return k, nil
		}
	}
	return IndexKey{}, fmt.Errorf("%w: %x in an index", errKey, clip(key))
}

// cutName undoes the escapes of a name. It copies only a name that has some.
func cutName(b []byte) (name, rest []byte, ok bool) {
	for from := 0; ; {
		i := bytes.IndexByte(b[from:], escape)
		if i < 0 || from+i+1 >= len(b) {
			return nil, nil, false
		}
		piece := b[from : from+i]
		mark := b[from+i+1]
		from += i + 2
		switch {
		case mark == escapeEnd && name == nil:
			return piece, b[from:], true
		case mark == escapeEnd:
			return append(name, piece...), b[from:], true
		case mark == escapeZero:
			name = append(append(name, piece...), escape)
		default:
			return nil, nil, false
		}
	}
}
