package head

import (
	"math"
	"sync"
)

// slots counts what the head holds of each slot, without what is being flushed.
type slots struct {
	length int64
	mu     struct {
		sync.Mutex
		figures map[int64]*figure // by start
	}
}

// figure is what is held of one slot, or a change to it.
type figure struct {
	samples int64
	bytes   int64 // of closed chunks and late samples
	minT    int64
}

func newFigure() *figure { return &figure{minT: math.MaxInt64} }

func (s *slots) init(length int64) {
	s.length = length
	s.mu.figures = map[int64]*figure{}
}

// apply adds changes. A flush may take samples away before the batch that brought them has added
// them: the figure is wrong for that moment, and stays until the sum is zero.
func (s *slots) apply(changes map[int64]*figure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for start, c := range changes {
		f := s.mu.figures[start]
		if f == nil {
			f = newFigure()
			s.mu.figures[start] = f
		}
		f.samples += c.samples
		f.bytes += c.bytes
		f.minT = min(f.minT, c.minT)
		if f.samples == 0 {
			delete(s.mu.figures, start)
		}
	}
}

func (s *slots) oldest() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := int64(math.MaxInt64)
	for _, f := range s.mu.figures {
		t = min(t, f.minT)
	}
	return t
}

func (s *slots) bytesBefore(t int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int64(0)
	for start, f := range s.mu.figures {
		if start < t && t-start >= s.length {
			n += f.bytes
		}
	}
	return max(n, 0)
}

func (s *slots) samples() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int64(0)
	for _, f := range s.mu.figures {
		n += f.samples
	}
	return max(n, 0)
}
