package explain

import (
	"context"
	"time"

	"github.com/barograph-db/barograph/storage/chunk"
)

// Set returns a set that says how long it takes to read, if the context is of a question that is
// traced.
func Set(ctx context.Context, set chunk.SeriesSet) chunk.SeriesSet {
	k, _ := ctx.Value(askKey{}).(*Ask)
	if k == nil || set == nil {
		return set
	}
	return &timedSet{SeriesSet: set, ask: k}
}

type timedSet struct {
	chunk.SeriesSet
	ask  *Ask // nil after its end
	took time.Duration
}

// Next moves to the next series.
func (s *timedSet) Next() bool {
	begin := time.Now()
	ok := s.SeriesSet.Next()
	s.took += time.Since(begin)
	if !ok {
		s.end()
	}
	return ok
}

func (s *timedSet) end() {
	k, err := s.ask, s.Err()
	k.change(func() {
		k.ended()
		k.failed(err)
		if k.local {
			k.add(Work{Worked: Seconds(s.took)})
		}
	})
	s.ask = nil
}

// Close ends the life of all series.
func (s *timedSet) Close() error {
	err := s.SeriesSet.Close()
	s.end()
	return err
}
