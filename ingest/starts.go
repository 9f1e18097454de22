package ingest

import (
	"sync"

	"github.com/barograph-db/barograph/storage/series"
)

// starts remembers the newest start timestamp of each series that a zero was written for. Losing
// some of it does no harm: a zero is written twice, and the second time changes nothing.
type starts struct {
	most int

	mu struct {
		sync.Mutex
		newest map[series.Ref]int64
	}
}

func newStarts(most int) *starts {
	s := &starts{most: most}
	s.mu.newest = make(map[series.Ref]int64)
	return s
}

// advance reports whether start is newer than the last one of the series, and remembers it.
func (s *starts) advance(ref series.Ref, start int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.mu.newest[ref]
	if ok && start <= old {
		return false
	}
	if !ok && len(s.mu.newest) >= s.most {
		clear(s.mu.newest)
	}
	s.mu.newest[ref] = start
	return true
}
