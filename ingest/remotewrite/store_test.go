package remotewrite

import (
	"context"
	"sync"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// store is an ingest.Store that keeps samples by the text of their labels.
type store struct {
	mu        sync.Mutex
	err       error
	refs      map[string]series.Ref
	names     []string // by ref, less one
	samples   map[string][]flatSample
	hists     int
	exemplars []frame.Exemplar
	metadata  []frame.Metadata
	discard   bool
}

func newStore() *store {
	return &store{refs: map[string]series.Ref{}, samples: map[string][]flatSample{}}
}

func (s *store) Find(dst []series.Ref, sets []series.Labels) []series.Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range sets {
		dst = append(dst, s.refs[l.String()])
	}
	return dst
}

func (s *store) Active() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.refs)
}

func (s *store) Refs(_ context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range sets {
		name := l.String()
		if s.refs[name] == 0 {
			s.names = append(s.names, name)
			s.refs[name] = series.Ref(len(s.names))
		}
		dst = append(dst, s.refs[name])
	}
	return dst, s.err
}

func (s *store) Append(_ context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	if s.discard {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	for i, r := range f.Refs {
		fs := flatSample{t: f.Times[i], bits: bits(f.Values[i : i+1])[0]}
		if len(f.Starts) > 0 {
			fs.st = f.Starts[i]
		}
		s.samples[s.names[r-1]] = append(s.samples[s.names[r-1]], fs)
	}
	s.hists += len(f.Histograms)
	s.exemplars = append(s.exemplars, f.Exemplars...)
	s.metadata = append(s.metadata, f.Metadata...)
	return nil, nil
}
