package block

import "unsafe"

// arena cuts slices out of larger ones, and asks for leave before it makes one of those. A result
// of many series so costs a few allocations, and no byte of it is held before it was asked for.
type arena[T any] struct {
	take func(bytes int64) error // may be nil
	free []T
	next int // size of the next slab
}

// The sizes of slabs, in elements: they begin with what is expected and double.
const (
	minSlab = 64
	maxSlab = 1 << 18
)

// expect sets the size of the first slab.
func (a *arena[T]) expect(n int) { a.next = min(max(n, minSlab), maxSlab) }

// alloc returns an empty slice with room for n.
func (a *arena[T]) alloc(n int) ([]T, error) {
	if n > len(a.free) {
		size := max(n, a.next, minSlab)
		if a.take != nil {
			var zero T
			if err := a.take(int64(size) * int64(unsafe.Sizeof(zero))); err != nil {
				return nil, err
			}
		}
		a.free = make([]T, size)
		a.next = min(2*size, maxSlab)
	}
	s := a.free[:0:n]
	a.free = a.free[n:]
	return s, nil
}

// clone returns a copy of s.
func (a *arena[T]) clone(s []T) ([]T, error) {
	dst, err := a.alloc(len(s))
	return append(dst, s...), err
}
