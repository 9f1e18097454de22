package changes

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
)

// Stamp is a moment in the life of a store. The zero value is before every life.
type Stamp struct {
	Life  uint64 // of the store, from when it was opened until it was closed
	Count uint64 // changes until then
}

// Span is a stretch of sample times, in milliseconds, both ends included.
type Span struct{ Mint, Maxt int64 }

// All is every time there is.
func All() Span { return Span{math.MinInt64, math.MaxInt64} }

// Overlaps reports whether there is a time in both.
func (s Span) Overlaps(o Span) bool { return s.Mint <= o.Maxt && o.Mint <= s.Maxt }

// MaxSpans is how many spans are told at most; where there are more, the oldest are told as one.
const MaxSpans = 32

const (
	second = 1000
	day    = 86_400 * second
	// maxBuckets is into how many buckets a change goes; a longer one goes into wider ones.
	maxBuckets = 32
)

// Log remembers changes.
type Log struct {
	life uint64
	mu   struct {
		sync.Mutex
		count uint64
		rings [3]ring
		rest  bucket
	}
}

// ring has a bucket for each stretch of times, the newest ones.
type ring struct {
	width   int64
	buckets []bucket // by their number, modulo
	newest  uint64   // the highest count of all
}

// bucket says when some times were changed last. A count of 0 is never.
type bucket struct {
	Span
	count uint64
}

// New returns an empty log with a life of its own.
func New() *Log {
	l := &Log{life: rand.Uint64() | 1}
	l.mu.rings = [3]ring{newRing(10*second, 2048), newRing(300*second, 2048), newRing(day, 1024)}
	return l
}

func newRing(width int64, buckets int) ring {
	return ring{width: width, buckets: make([]bucket, buckets)}
}

// Add notes that samples in these spans were changed.
func (l *Log) Add(spans ...Span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.count++
	for _, s := range spans {
		if s.Mint <= s.Maxt {
			l.noteLocked(0, s, l.mu.count)
		}
	}
}

// noteLocked puts a change into the ring of that number, or one of those behind it.
func (l *Log) noteLocked(number int, s Span, count uint64) {
	if number == len(l.mu.rings) {
		l.mu.rest.widen(s, count)
		return
	}
	r := &l.mu.rings[number]
	first, last := r.number(s.Mint), r.number(s.Maxt)
	if uint64(last-first) >= maxBuckets {
		l.noteLocked(number+1, s, count)
		return
	}
	for n := first; n <= last; n++ {
		at, times := &r.buckets[uint64(n)%uint64(len(r.buckets))], r.span(n)
		switch {
		case at.count == 0 || at.Span == times:
		case at.Mint > times.Mint: // The ring is at newer times.
			l.noteLocked(number+1, times, count)
			continue
		default:
			l.noteLocked(number+1, at.Span, at.count)
			at.count = 0
		}
		at.Span, at.count = times, max(at.count, count)
		r.newest = max(r.newest, count)
	}
}

func (b *bucket) widen(s Span, count uint64) {
	if b.count > 0 {
		s = Span{min(b.Mint, s.Mint), max(b.Maxt, s.Maxt)}
	}
	b.Span, b.count = s, max(b.count, count)
}

// number is that of the stretch that t is in.
func (r *ring) number(t int64) int64 {
	n := t / r.width
	if t%r.width < 0 {
		n--
	}
	return n
}

// span is the stretch of that number, as far as there are times.
func (r *ring) span(n int64) Span {
	s := Span{Mint: math.MinInt64, Maxt: math.MaxInt64}
	if n >= math.MinInt64/r.width {
		s.Mint = n * r.width
	}
	if n < math.MaxInt64/r.width {
		s.Maxt = n*r.width + r.width - 1
	}
	return s
}

// Since returns the present moment and which times were changed between since and it, in order and
// apart. Of another life's stamp all may have changed.
func (l *Log) Since(since Stamp) (now Stamp, changed []Span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now = Stamp{Life: l.life, Count: l.mu.count}
	switch {
	case since.Life != l.life:
		return now, []Span{All()}
	case since.Count == now.Count:
		return now, nil
	}
	for i := range l.mu.rings {
		r := &l.mu.rings[i]
		if r.newest <= since.Count {
			continue
		}
		for _, b := range r.buckets {
			if b.count > since.Count {
				changed = append(changed, b.Span)
			}
		}
	}
	if l.mu.rest.count > since.Count {
		changed = append(changed, l.mu.rest.Span)
	}
	return now, Join(changed)
}

// Join sorts spans and makes one of those that touch, and of the oldest if there are too many. It
// reuses the slice.
func Join(spans []Span) []Span {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.Mint, b.Mint) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && (out[n-1].Maxt == math.MaxInt64 || s.Mint <= out[n-1].Maxt+1) {
			out[n-1].Maxt = max(out[n-1].Maxt, s.Maxt)
			continue
		}
		out = append(out, s)
	}
	if extra := len(out) - MaxSpans; extra > 0 {
		out[extra].Mint = out[0].Mint
		out = out[extra:]
	}
	return out
}
