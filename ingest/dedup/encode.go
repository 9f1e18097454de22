package dedup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Commands, answers and snapshots are drawn in docs/formats/dedup.md.
const (
	version = 1

	kindElect = 1
	kindHear  = 2

	// maxText bounds the values of the two labels.
	maxText = 256
	// maxPairs bounds a table, whatever the options say.
	maxPairs = 1 << 16
	// maxHearings of one command.
	maxHearings = 1 << 10
)

var (
	errFormat  = errors.New("not what package dedup writes")
	errVersion = errors.New("unknown version")
)

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (c command) encode() []byte {
	if len(c.heard) > 0 {
		dst := binary.AppendUvarint([]byte{version, kindHear}, uint64(len(c.heard)))
		for _, h := range c.heard {
			dst = binary.AppendVarint(appendText(appendText(dst, h.pair), h.replica), h.at)
		}
		return dst
	}
	e := c.elect
	dst := appendText(appendText([]byte{version, kindElect}, e.pair), e.replica)
	dst = binary.AppendUvarint(dst, e.seq)
	dst = binary.AppendVarint(binary.AppendVarint(dst, e.at), e.after)
	return binary.AppendUvarint(dst, e.most)
}

func appendTerm(dst []byte, t term) []byte {
	dst = binary.AppendUvarint(appendText(dst, t.replica), t.seq)
	return binary.AppendVarint(binary.AppendVarint(dst, t.heard), t.after)
}

func encodeAnswer(s status, t term) []byte { return appendTerm([]byte{version, byte(s)}, t) }

func (s *terms) encode() []byte {
	dst := binary.AppendUvarint([]byte{version}, s.seq)
	dst = binary.AppendUvarint(dst, uint64(len(s.pairs)))
	for _, name := range slices.Sorted(maps.Keys(s.pairs)) {
		dst = appendTerm(appendText(dst, name), s.pairs[name])
	}
	return dst
}

// reader takes values from the front of data; after an error all are zero.
type reader struct {
	data []byte
	err  error
}

func (r *reader) fail() {
	r.data = nil
	if r.err == nil {
		r.err = errFormat
	}
}

func (r *reader) byte() byte {
	if len(r.data) == 0 {
		r.fail()
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) text() string {
	n := r.uvarint()
	if n == 0 || n > maxText || n > uint64(len(r.data)) { // No name is empty.
		r.fail()
		return ""
	}
	s := string(r.data[:n])
	r.data = r.data[n:]
	return s
}

func (r *reader) count(most uint64) uint64 {
	n := r.uvarint()
	if n > most || n > uint64(len(r.data)) {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) term() term {
	return term{replica: r.text(), seq: r.uvarint(), heard: r.varint(), after: r.varint()}
}

func (r *reader) version() {
	if v := r.byte(); r.err == nil && v != version {
		r.data, r.err = nil, fmt.Errorf("%w: %w %d, not %d", errFormat, errVersion, v, version)
	}
}

// end returns the error, which it is if something is left.
func (r *reader) end() error {
	if r.err == nil && len(r.data) > 0 {
		r.fail()
	}
	return r.err
}

func decodeCommand(data []byte) (c command, err error) {
	r := &reader{data: data}
	r.version()
	switch r.byte() {
	case kindElect:
		c.elect = election{
			pair: r.text(), replica: r.text(), seq: r.uvarint(), at: r.varint(), after: r.varint(), most: r.uvarint(),
		}
	case kindHear:
		n := r.count(maxHearings)
		if n == 0 {
			r.fail()
		}
		for range n {
			c.heard = append(c.heard, hearing{pair: r.text(), replica: r.text(), at: r.varint()})
		}
	default:
		r.fail()
	}
	if err := r.end(); err != nil {
		return command{}, fmt.Errorf("decode command: %w", err)
	}
	return c, nil
}

// noTerm is how the term of sequence 0 is encoded: without a replica.
const noTerm = "\x00\x00\x00\x00"

// decodeAnswer of an election; it has a term if there is one for the pair.
func decodeAnswer(data []byte) (s status, t term, err error) {
	r := &reader{data: data}
	r.version()
	s = status(r.byte())
	if s > bad {
		r.fail()
	}
	if string(r.data) == noTerm {
		return s, term{}, nil
	}
	t = r.term()
	if err := r.end(); err != nil {
		return bad, term{}, fmt.Errorf("decode answer: %w", err)
	}
	return s, t, nil
}

// decodeTerms reads a snapshot; no bytes are the state before the first command.
func decodeTerms(data []byte) (terms, error) {
	s := terms{pairs: map[string]term{}}
	if len(data) == 0 {
		return s, nil
	}
	r := &reader{data: data}
	r.version()
	s.seq = r.uvarint()
	last := ""
	for range r.count(maxPairs) {
		name := r.text()
		t := r.term()
		if r.err == nil && (name <= last || t.seq == 0 || t.seq > s.seq) {
			r.fail()
		}
		last = name
		s.pairs[name] = t
	}
	if err := r.end(); err != nil {
		return terms{}, fmt.Errorf("decode elections: %w", err)
	}
	return s, nil
}
