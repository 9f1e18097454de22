package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/ingest/gather"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

var testNode = placement.NodeID{1}

// fakeStore keeps samples as text by labels. It may be told to forget series, to refuse and to wait.
type fakeStore struct {
	// append is asked before each frame; may be nil.
	append func(ctx context.Context, f *frame.Frame) error
	refs   func() error // the same of Refs
	keep   bool         // false: samples are only counted

	mu struct {
		sync.Mutex
		byLabels map[string]uint32
		series   []fakeSeries
		samples  map[string]map[string]int // labels, sample, times
		metadata map[frame.Metadata]int
		frames   int
	}
}

// gathered makes a store one that frames are handed to, as a node does.
func gathered(s interface {
	Refs(ctx context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error)
	Append(ctx context.Context, f *frame.Frame) ([]frame.Rejected, error)
},
) Store {
	return struct {
		refs
		*gather.Gatherer
	}{s, gather.New(s.Append, gather.Options{})}
}

type refs interface {
	Refs(ctx context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error)
}

type fakeSeries struct {
	labels     string
	generation uint32
}

func newFakeStore(keep bool) *fakeStore {
	s := &fakeStore{keep: keep}
	s.mu.byLabels = map[string]uint32{}
	s.mu.samples = map[string]map[string]int{}
	s.mu.metadata = map[frame.Metadata]int{}
	return s
}

func (s *fakeStore) Refs(_ context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error) {
	if s.refs != nil {
		if err := s.refs(); err != nil {
			return dst, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ls := range sets {
		n, ok := s.mu.byLabels[string(ls)]
		if !ok {
			n = uint32(len(s.mu.series))
			s.mu.byLabels[string(ls)] = n
			s.mu.series = append(s.mu.series, fakeSeries{labels: string(ls), generation: 1})
		}
		dst = append(dst, series.MakeRef(n, s.mu.series[n].generation))
	}
	return dst, nil
}

// forget makes the references of some series unknown.
func (s *fakeStore) forget(chosen func(n int) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.mu.series {
		if chosen(n) {
			s.mu.series[n].generation++
		}
	}
}

func (s *fakeStore) Append(ctx context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	if s.append != nil {
		if err := s.append(ctx, f); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.frames++
	if len(f.Series) > 0 || f.Sender != 0 || f.Seq != 0 {
		return nil, errors.New("the frame says what is not the store's")
	}
	var rejected []frame.Rejected
	for place := range elements(f) {
		ref := refAt(f, place)
		if int(ref.Index()) >= len(s.mu.series) || s.mu.series[ref.Index()].generation != ref.Generation() {
			rejected = append(rejected, frame.Rejected{Index: place, Reason: frame.UnknownRef})
			continue
		}
		if !s.keep {
			continue
		}
		text, t := element(f, place)
		if reason := badTime(t); reason != 0 {
			rejected = append(rejected, frame.Rejected{Index: place, Reason: reason})
			continue
		}
		labels := s.mu.series[ref.Index()].labels
		if s.mu.samples[labels] == nil {
			s.mu.samples[labels] = map[string]int{}
		}
		s.mu.samples[labels][text]++
	}
	for _, m := range f.Metadata {
		s.mu.metadata[m]++
	}
	return rejected, nil
}

// badTime is why the store refuses a sample of that time.
func badTime(t int64) frame.Reason {
	switch {
	case t%31 == 7:
		return frame.TooOld
	case t%53 == 9:
		return frame.BadSample
	}
	return 0
}

// element is a sample as text, and its time.
func element(f *frame.Frame, place int) (text string, t int64) {
	switch {
	case place < len(f.Refs):
		st := int64(0)
		if len(f.Starts) > 0 {
			st = f.Starts[place]
		}
		return fmt.Sprintf("float %d %d %x", f.Times[place], st, math.Float64bits(f.Values[place])), f.Times[place]
	case place < f.Samples():
		h := f.Histograms[place-len(f.Refs)]
		return fmt.Sprintf("histogram %d %d %s %s", h.T, h.ST, h.H, h.FH), h.T
	}
	e := f.Exemplars[place-f.Samples()]
	return fmt.Sprintf("exemplar %d %x %s", e.T, math.Float64bits(e.V), e.Labels), e.T
}

// expectations are what was sent and what became of it.
type expectations struct {
	outcome struct {
		sync.Mutex
		sent     map[string]map[string]bool // true: acknowledged
		metadata map[frame.Metadata]bool
		taken    int
		errs     []error // of frames that failed
	}
	done sync.WaitGroup
}

func newExpectations() *expectations {
	e := &expectations{}
	e.outcome.sent = map[string]map[string]bool{}
	e.outcome.metadata = map[frame.Metadata]bool{}
	return e
}

// expect copies what it needs of f, and returns the Done for it.
func (e *expectations) expect(t testing.TB, f *frame.Frame, labels Labels) Done {
	type one struct {
		labels, text string
		reason       frame.Reason
	}
	var all []one
	e.outcome.Lock()
	defer e.outcome.Unlock()
	for place := range elements(f) {
		text, at := element(f, place)
		x := one{labels: string(labels(refAt(f, place))), text: text, reason: badTime(at)}
		all = append(all, x)
		if e.outcome.sent[x.labels] == nil {
			e.outcome.sent[x.labels] = map[string]bool{}
		}
		e.outcome.sent[x.labels][x.text] = e.outcome.sent[x.labels][x.text] || false
	}
	metadata := slices.Clone(f.Metadata)
	for _, m := range metadata {
		e.outcome.metadata[m] = e.outcome.metadata[m] || false
	}
	e.done.Add(1)
	var once sync.Once
	return func(rejected []frame.Rejected, err error) {
		first := false
		once.Do(func() { first = true })
		if !first {
			t.Error("done twice")
			return
		}
		defer e.done.Done()
		e.outcome.Lock()
		defer e.outcome.Unlock()
		if err != nil {
			e.outcome.errs = append(e.outcome.errs, err)
			return
		}
		e.outcome.taken++
		var want []frame.Rejected
		for place, x := range all {
			if x.reason != 0 {
				want = append(want, frame.Rejected{Index: place, Reason: x.reason})
			} else {
				e.outcome.sent[x.labels][x.text] = true
			}
		}
		if !slices.Equal(want, rejected) {
			t.Errorf("rejected %v, want %v", rejected, want)
		}
		for _, m := range metadata {
			e.outcome.metadata[m] = true
		}
	}
}

// check holds that all that was acknowledged is in the stores together, and nothing that was not sent.
func (e *expectations) check(t testing.TB, stores ...*fakeStore) {
	t.Helper()
	e.outcome.Lock()
	defer e.outcome.Unlock()
	has := map[string]map[string]int{}
	metadata := map[frame.Metadata]int{}
	for _, s := range stores {
		s.mu.Lock()
		for labels, samples := range s.mu.samples {
			if has[labels] == nil {
				has[labels] = map[string]int{}
			}
			maps.Copy(has[labels], samples)
		}
		maps.Copy(metadata, s.mu.metadata)
		s.mu.Unlock()
	}
	for labels, samples := range e.outcome.sent {
		for sample, acked := range samples {
			if acked {
				require.Positive(t, has[labels][sample], "%s of %s", sample, series.Labels(labels))
			}
		}
	}
	for labels, samples := range has {
		for sample := range samples {
			_, sent := e.outcome.sent[labels][sample]
			require.True(t, sent, "%s of %s was never sent", sample, series.Labels(labels))
		}
	}
	for m, acked := range e.outcome.metadata {
		require.True(t, !acked || metadata[m] > 0, "%v", m)
	}
	for m := range metadata {
		require.Contains(t, e.outcome.metadata, m)
	}
}
