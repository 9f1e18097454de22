package index

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

var _ Source = (*Mem)(nil)

// All implements Source.
func (m *Mem) All() *roaring.Bitmap {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.mu.all.read()
}

// Postings implements Source.
func (m *Mem) Postings(name, value string) (*roaring.Bitmap, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	number, ok := m.mu.numbers[name]
	if !ok {
		return nil, nil
	}
	text := []byte(value)
	n, ok := m.mu.pairs.find(number, text, hashPair(number, text))
	if !ok {
		return nil, nil
	}
	return m.mu.pairs.at(n).read(), nil
}

// Values implements Source. fn runs without the index's lock, on the values there were at the
// start.
func (m *Mem) Values(name string, fn func(value string) bool) error {
	for _, value := range m.values(name) {
		if !fn(value) {
			break
		}
	}
	return nil
}

// Names implements Source.
func (m *Mem) Names(fn func(name string) bool) error {
	m.mu.RLock()
	var names []string
	for _, n := range m.mu.names {
		if len(n.pairs) > 0 {
			names = append(names, n.text)
		}
	}
	m.mu.RUnlock()
	slices.Sort(names)
	for _, name := range names {
		if !fn(name) {
			break
		}
	}
	return nil
}

// values returns the values of a name in order, not to be written. What came since the last call
// is sorted and merged in, on a copy without the lock: that may take long.
func (m *Mem) values(name string) []string {
	m.mu.RLock()
	number, ok := m.mu.numbers[name]
	if !ok {
		m.mu.RUnlock()
		return nil
	}
	owner := m.mu.names[number]
	var fresh []string
	for _, n := range owner.pairs[len(owner.ordered):] {
		fresh = append(fresh, m.mu.pairs.at(n).value)
	}
	m.mu.RUnlock()
	if len(fresh) == 0 {
		return owner.ordered
	}
	slices.Sort(fresh)
	ordered := merged(owner.ordered, fresh)

	m.mu.Lock()
	defer m.mu.Unlock()
	now := &m.mu.names[number]
	if now.removals == owner.removals && len(now.ordered) < len(ordered) {
		now.ordered = ordered
	}
	return ordered
}

func merged(a, b []string) []string {
	if len(a) == 0 {
		return b
	}
	out := make([]string, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] < b[0] {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}
