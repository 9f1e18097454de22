package series

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// Labels is a label set in the canonical byte form described at the package. A Labels is
// immutable; whoever is handed one may not write to it.
type Labels []byte

// errLabels marks label bytes that are not canonical.
var errLabels = errors.New("label bytes are not canonical")

// Pair is one label.
type Pair struct{ Name, Value []byte }

// AppendPair appends one label to canonical label bytes; the caller sees to the order.
func AppendPair[S ~string | ~[]byte](dst Labels, name, value S) Labels {
	dst = binary.AppendUvarint(dst, uint64(len(name)))
	dst = append(dst, name...)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// FromLabels appends the canonical form of ls to dst.
func FromLabels(dst Labels, ls labels.Labels) Labels {
	ls.Range(func(l labels.Label) {
		if l.Value != "" {
			dst = AppendPair(dst, l.Name, l.Value)
		}
	})
	return dst
}

// FromStrings makes label bytes of name, value, name, value...; a convenience for tests and fixed
// sets. It panics when the number of strings is odd.
func FromStrings(ss ...string) Labels { return FromLabels(nil, labels.FromStrings(ss...)) }

// FromPairs appends the canonical form of pairs to dst. It sorts pairs in place, drops those with
// an empty value, and returns an error that names a label given twice.
func FromPairs(dst Labels, pairs []Pair) (Labels, error) {
	slices.SortFunc(pairs, func(a, b Pair) int { return bytes.Compare(a.Name, b.Name) })
	for i, p := range pairs {
		if i > 0 && bytes.Equal(p.Name, pairs[i-1].Name) {
			return dst, fmt.Errorf("label %q is given twice", p.Name)
		}
		if len(p.Value) > 0 {
			dst = AppendPair(dst, p.Name, p.Value)
		}
	}
	return dst, nil
}

// Fingerprint of the label set.
func (l Labels) Fingerprint() Fingerprint { return Fingerprint(xxhash.Sum64(l)) }

// next cuts the first label off l. ok is false at the end and for damaged bytes.
func (l Labels) next() (name, value []byte, rest Labels, ok bool) {
	if name, rest, ok = cut(l); !ok {
		return nil, nil, nil, false
	}
	value, rest, ok = cut(rest)
	return name, value, rest, ok
}

func cut(b []byte) (field, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 { // One byte of length is nearly always enough.
		if n := int(b[0]) + 1; n <= len(b) {
			return b[1:n:n], b[n:], true
		}
		return nil, nil, false
	}
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) || b[k-1] == 0 { // Canonical lengths do not end in a zero.
		return nil, nil, false
	}
	end := k + int(n)
	return b[k:end:end], b[end:], true
}

// All yields the labels in order. The slices are views into l.
func (l Labels) All() func(yield func(name, value []byte) bool) {
	return func(yield func(name, value []byte) bool) {
		for len(l) > 0 {
			name, value, rest, ok := l.next()
			if !ok || !yield(name, value) {
				return
			}
			l = rest
		}
	}
}

// Get returns the value of the label, nil where there is none. The slice is a view into l.
func (l Labels) Get(name string) []byte {
	for n, v := range l.All() {
		if string(n) == name {
			return v
		}
	}
	return nil
}

// Len is the number of labels.
func (l Labels) Len() int {
	n := 0
	for range l.All() {
		n++
	}
	return n
}

// Validate returns an error unless l is canonical. Bytes from disk or wire pass through it once.
func (l Labels) Validate() error {
	var last []byte
	for first := true; len(l) > 0; first = false {
		name, value, rest, ok := l.next()
		if !ok {
			return fmt.Errorf("%w: cut short", errLabels)
		}
		if len(name) == 0 || len(value) == 0 {
			return fmt.Errorf("%w: empty name or value", errLabels)
		}
		if !first && bytes.Compare(last, name) >= 0 {
			return fmt.Errorf("%w: %q after %q", errLabels, name, last)
		}
		last, l = name, rest
	}
	return nil
}

// Labels converts to the Prometheus library's form. The builder is scratch space of the caller.
func (l Labels) Labels(b *labels.ScratchBuilder) labels.Labels {
	b.Reset()
	for n, v := range l.All() {
		b.Add(string(n), string(v))
	}
	return b.Labels()
}

// String prints the set as {a="b", c="d"}.
func (l Labels) String() string {
	b := labels.NewScratchBuilder(8)
	return l.Labels(&b).String()
}

// CompareBytes orders label sets by their canonical bytes: an order for joining, not for showing.
func CompareBytes(a, b Labels) int { return bytes.Compare(a, b) }
