package index

import (
	"slices"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"
)

// shortPostings is the longest list that is kept as an array. A roaring bitmap costs some 200
// bytes before its first number.
const shortPostings = 32

// postings are the series that carry one label. Exactly one of few and many is used.
type postings struct {
	few  []uint32 // sorted; never handed out
	many *bitmap
}

// bitmap is a long list.
type bitmap struct {
	set *roaring.Bitmap
	// shared says that set was handed to a reader and may not be written any more. Readers store it
	// under the shared lock, the writer looks at it under the exclusive one.
	shared atomic.Bool
	// Neighbours that came in a row are worth storing as runs, which is looked for whenever the
	// length has doubled.
	length, optimizeAt uint32
}

func (p *postings) add(id uint32) {
	switch {
	case p.many != nil:
		p.many.own().Add(id)
		p.many.length++
		p.many.optimize()
	case len(p.few) < shortPostings:
		at, _ := slices.BinarySearch(p.few, id)
		p.few = slices.Insert(p.few, at, id)
	default:
		p.many = &bitmap{set: roaring.BitmapOf(p.few...), length: uint32(len(p.few)) + 1}
		p.many.set.Add(id)
		p.many.optimize()
		p.few = nil
	}
}

// addRun adds numbers none of which is in. A bitmap takes a short run faster one by one: a range is
// joined with all it has nearby.
func (p *postings) addRun(r run) {
	if n := int(r.to - r.from); n < 2*shortPostings || p.many == nil && len(p.few)+n <= shortPostings {
		for ; r.from < r.to; r.from++ {
			p.add(r.from)
		}
		return
	}
	if p.many == nil {
		p.many = &bitmap{set: roaring.BitmapOf(p.few...), length: uint32(len(p.few))}
		p.few = nil
	}
	p.many.own().AddRange(uint64(r.from), uint64(r.to))
	p.many.length += r.to - r.from
	p.many.optimize()
}

// remove takes id out; it must be in.
func (p *postings) remove(id uint32) {
	if p.many == nil {
		if at, ok := slices.BinarySearch(p.few, id); ok {
			p.few = slices.Delete(p.few, at, at+1)
		}
		return
	}
	set := p.many.own()
	set.Remove(id)
	if p.many.length--; p.many.length <= shortPostings/2 {
		p.few, p.many = set.ToArray(), nil
	}
}

func (p *postings) has(id uint32) bool {
	if p.many != nil {
		return p.many.set.Contains(id)
	}
	_, ok := slices.BinarySearch(p.few, id)
	return ok
}

func (p *postings) len() int {
	if p.many != nil {
		return int(p.many.length)
	}
	return len(p.few)
}

// read returns the list for reading; it stays as it is whatever is added later.
func (p *postings) read() *roaring.Bitmap {
	if p.many == nil {
		set := roaring.New()
		set.AddMany(p.few)
		return set
	}
	if !p.many.shared.Load() { // Readers do not fight for the cache line.
		p.many.shared.Store(true)
	}
	return p.many.set
}

// own returns the bitmap for writing.
func (b *bitmap) own() *roaring.Bitmap {
	if b.shared.Load() {
		b.set = b.set.Clone()
		b.shared.Store(false)
	}
	return b.set
}

func (b *bitmap) optimize() {
	if b.length >= b.optimizeAt {
		b.set.RunOptimize()
		b.optimizeAt = 2 * b.length
	}
}
