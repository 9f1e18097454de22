package ingest_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// fakeStore keeps everything in maps, and forgets references at random if told to.
type fakeStore struct {
	mu        sync.Mutex
	rng       *rand.Rand
	lose      float64 // the chance, per Append, to forget a series it names
	err       error
	refs      map[string]series.Ref
	labels    map[series.Ref]string
	next      series.Ref
	samples   map[string]map[int64]float64
	starts    map[string]map[int64]int64
	frames    int
	created   int
	exemplars int
	hists     []frame.Histogram
	metadata  []frame.Metadata
	reject    func(f *frame.Frame) []frame.Rejected
}

func newFakeStore() *fakeStore {
	return &fakeStore{
		rng: rand.New(rand.NewPCG(1, 2)), refs: map[string]series.Ref{}, labels: map[series.Ref]string{},
		samples: map[string]map[int64]float64{}, starts: map[string]map[int64]int64{},
	}
}

func (s *fakeStore) Find(dst []series.Ref, sets []series.Labels) []series.Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range sets {
		dst = append(dst, s.refs[string(l)])
	}
	return dst
}

func (s *fakeStore) Active() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.refs)
}

func (s *fakeStore) Refs(_ context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return dst, s.err
	}
	for _, l := range sets {
		if err := l.Validate(); err != nil {
			panic(err)
		}
		r, ok := s.refs[string(l)]
		if !ok {
			s.next++
			s.created++
			r = s.next
			s.refs[string(l)], s.labels[r] = r, string(l)
		}
		dst = append(dst, r)
	}
	return dst, nil
}

func (s *fakeStore) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.labels, s.refs[name])
	delete(s.refs, name)
}

var errFake = errors.New("no room")

func (s *fakeStore) Append(_ context.Context, f *frame.Frame) (rejected []frame.Rejected, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if s.reject != nil {
		return s.reject(f), nil
	}
	s.frames++
	if s.lose > 0 && len(f.Refs) > 0 && s.rng.Float64() < s.lose {
		r := f.Refs[s.rng.IntN(len(f.Refs))]
		if l, ok := s.labels[r]; ok {
			delete(s.refs, l)
			delete(s.labels, r)
		}
	}
	for i, r := range f.Refs {
		l, ok := s.labels[r]
		if !ok {
			rejected = append(rejected, frame.Rejected{Index: i, Reason: frame.UnknownRef})
			continue
		}
		if s.samples[l] == nil {
			s.samples[l], s.starts[l] = map[int64]float64{}, map[int64]int64{}
		}
		s.samples[l][f.Times[i]] = f.Values[i]
		if len(f.Starts) > 0 {
			s.starts[l][f.Times[i]] = f.Starts[i]
		}
	}
	for i, h := range f.Histograms {
		if _, ok := s.labels[h.Ref]; !ok {
			rejected = append(rejected, frame.Rejected{Index: len(f.Refs) + i, Reason: frame.UnknownRef})
			continue
		}
		s.hists = append(s.hists, h)
	}
	for i, e := range f.Exemplars {
		if _, ok := s.labels[e.Ref]; !ok {
			rejected = append(rejected, frame.Rejected{Index: f.Samples() + i, Reason: frame.UnknownRef})
			continue
		}
		s.exemplars++
	}
	s.metadata = append(s.metadata, f.Metadata...)
	return rejected, nil
}

// pairsSource is a Labeler over label sets written as they come.
type pairsSource [][]series.Pair

func (p pairsSource) AppendPairs(dst []series.Pair, run int) ([]series.Pair, error) {
	return append(dst, p[run]...), nil
}

func pairs(ss ...string) []series.Pair {
	var ps []series.Pair
	for i := 0; i < len(ss); i += 2 {
		ps = append(ps, series.Pair{Name: []byte(ss[i]), Value: []byte(ss[i+1])})
	}
	return ps
}

var hasher = ingest.NewHasher()

// rawKey hashes pairs as they come.
func rawKey(ps []series.Pair) ingest.Key {
	var b []byte
	for _, p := range ps {
		b = series.AppendPair(b, p.Name, p.Value)
	}
	return hasher.Sum(b)
}

// batch has one float sample per set, at time t.
func batch(t int64, sets ...[]series.Pair) *ingest.Batch {
	b := &ingest.Batch{Source: pairsSource(sets)}
	for i, s := range sets {
		b.Runs = append(b.Runs, ingest.Run{Key: rawKey(s), Floats: ingest.Span{From: uint32(i), To: uint32(i + 1)}})
		b.Times, b.Values = append(b.Times, t), append(b.Values, float64(i))
	}
	return b
}
