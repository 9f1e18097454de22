package stream

// tablePage is the number of entries in a page of a table.
const tablePage = 1 << 10

// A table has an entry for each index below its limit. Its pages are made when they are first written
// to. The zero entry says that there is none.
type table[T any] struct {
	limit uint32
	pages []*[tablePage]T
}

// get is the entry of an index, nil where its page is not there.
func (t *table[T]) get(index uint32) *T {
	n := int(index / tablePage)
	if n >= len(t.pages) || t.pages[n] == nil {
		return nil
	}
	return &t.pages[n][index%tablePage]
}

// need is get that makes the page; nil beyond the limit.
func (t *table[T]) need(index uint32) *T {
	if index >= t.limit {
		return nil
	}
	n := int(index / tablePage)
	if n >= len(t.pages) {
		t.pages = append(t.pages, make([]*[tablePage]T, n+1-len(t.pages))...)
	}
	if t.pages[n] == nil {
		t.pages[n] = new([tablePage]T)
	}
	return &t.pages[n][index%tablePage]
}
