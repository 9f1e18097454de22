package storage

import (
	"cmp"
	"slices"
	"sync"

	"github.com/barograph-db/barograph/storage/block"
)

// part is a flushed part in use.
type part struct {
	*block.Part
	// use is held for reading by whoever reads the part, and for writing by who removes it.
	use sync.RWMutex
	// gone and successor are guarded by use.
	gone      bool
	successor *part // has the samples of a part that is gone; nil when nobody has
	// reclaimed, guarded by maintenance, says that nothing is to be had for what is hidden of the part.
	reclaimed bool
}

func (db *DB) newPart(m block.Meta) *part { return &part{Part: block.Open(m, db.cache)} }

// acquire returns the part that has p's samples now, held for reading until release; nil when
// they are gone.
func (p *part) acquire() *part {
	for p != nil {
		p.use.RLock()
		if !p.gone {
			return p
		}
		next := p.successor
		p.use.RUnlock()
		p = next
	}
	return nil
}

func (p *part) release() { p.use.RUnlock() }

// partList is the parts that exist, by start and sequence. A snapshot of it stays valid: see
// part.acquire.
type partList struct {
	mu struct {
		sync.RWMutex
		parts []*part // replaced as a whole, never written to
	}
}

func (l *partList) snapshot() []*part {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mu.parts
}

func (l *partList) add(ps ...*part) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.parts = sorted(append(slices.Clone(l.mu.parts), ps...))
}

// replace takes old off the list and puts successor, unless it is nil, on it: one step for readers.
func (l *partList) replace(old []*part, successor *part) {
	l.mu.Lock()
	defer l.mu.Unlock()
	parts := slices.DeleteFunc(slices.Clone(l.mu.parts), func(p *part) bool { return slices.Contains(old, p) })
	if successor != nil {
		parts = append(parts, successor)
	}
	l.mu.parts = sorted(parts)
}

func sorted(parts []*part) []*part {
	slices.SortFunc(parts, func(a, b *part) int {
		am, bm := a.Meta().Part, b.Meta().Part
		return cmp.Or(cmp.Compare(am.Start, bm.Start), cmp.Compare(am.Seq, bm.Seq))
	})
	return parts
}

// marks of all parts.
func (l *partList) marks() marks {
	var ms marks
	for _, p := range l.snapshot() {
		ms = append(ms, mark{before: p.Meta().FlushedBefore, segment: p.Meta().FlushedSegment})
	}
	return ms
}

// overlapping returns the parts with samples in [mint, maxt].
func (l *partList) overlapping(mint, maxt int64) []*part {
	var out []*part
	for _, p := range l.snapshot() {
		if m := p.Meta(); m.MinT <= maxt && m.MaxT >= mint {
			out = append(out, p)
		}
	}
	return out
}
