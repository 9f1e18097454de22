package storagetest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Store is what a store of samples must be able to do. *storage.DB is one.
type Store interface {
	// Refs appends the reference of each label set, creating what is missing.
	Refs(ctx context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error)
	// Append takes a frame's samples; those it does not take are in the result.
	Append(ctx context.Context, f *frame.Frame) ([]frame.Rejected, error)
	Select(ctx context.Context, sel series.Selector) (chunk.SeriesSet, error)
	LabelNames(ctx context.Context, sel series.Selector) ([]string, error)
	LabelValues(ctx context.Context, name string, sel series.Selector) ([]string, error)
	// Delete removes the samples that are there now, not such as come later.
	Delete(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) error
	// Flush moves what it holds in memory to disk.
	Flush(ctx context.Context) error
	Close() error
}

// Oracle is a Store in maps, without any thought of speed. It is safe for concurrent use.
type Oracle struct {
	mu struct {
		sync.Mutex
		series map[string]map[int64]series.Sample // By label bytes, by time.
		names  []string                           // Label bytes by reference, from 1 on.
	}
}

// NewOracle returns an empty oracle.
func NewOracle() *Oracle {
	o := &Oracle{}
	o.mu.series = map[string]map[int64]series.Sample{}
	return o
}

// Refs numbers series as they come.
func (o *Oracle) Refs(_ context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, ls := range sets {
		i := slices.Index(o.mu.names, string(ls))
		if i < 0 {
			i = len(o.mu.names)
			o.mu.names = append(o.mu.names, string(ls))
			o.mu.series[string(ls)] = map[int64]series.Sample{}
		}
		dst = append(dst, series.MakeRef(uint32(i), 1))
	}
	return dst, nil
}

// Append puts the samples of f where they belong.
func (o *Oracle) Append(_ context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var rejected []frame.Rejected
	for i := range f.Samples() {
		ref, s := sampleOf(f, i)
		if ref.Generation() != 1 || int(ref.Index()) >= len(o.mu.names) {
			rejected = append(rejected, frame.Rejected{Index: i, Reason: frame.UnknownRef})
			continue
		}
		byT := o.mu.series[o.mu.names[ref.Index()]]
		if old, ok := byT[s.T]; ok {
			s = series.Resolve(old, s)
		}
		byT[s.T] = s
	}
	return rejected, nil
}

// sampleOf is the i-th sample of f, floats first.
func sampleOf(f *frame.Frame, i int) (series.Ref, series.Sample) {
	if i < len(f.Refs) {
		s := series.Sample{T: f.Times[i], V: f.Values[i]}
		if len(f.Starts) > 0 {
			s.ST = f.Starts[i]
		}
		return f.Refs[i], s
	}
	h := f.Histograms[i-len(f.Refs)]
	return h.Ref, series.Sample{T: h.T, ST: h.ST, H: h.H, FH: h.FH}
}

// addSample appends a sample to a frame's columns. Either all samples of a frame that are floats
// have a start timestamp column or none, so the first one that needs it fills it up.
func addSample(f *frame.Frame, ref series.Ref, s series.Sample) {
	if s.Kind() != series.Float {
		f.Histograms = append(f.Histograms, frame.Histogram{Ref: ref, T: s.T, ST: s.ST, H: s.H, FH: s.FH})
		return
	}
	f.Refs, f.Times, f.Values = append(f.Refs, ref), append(f.Times, s.T), append(f.Values, s.V)
	if s.ST != 0 || len(f.Starts) > 0 {
		f.Starts = append(f.Starts, make([]int64, len(f.Refs)-len(f.Starts))...)
		f.Starts[len(f.Refs)-1] = s.ST
	}
}

// samples are the samples of one series in the selection, by time.
func (o *Oracle) samples(name string, sel series.Selector) []series.Sample {
	var out []series.Sample
	byT := o.mu.series[name]
	for _, t := range slices.Sorted(maps.Keys(byT)) {
		if sel.Mint <= t && t <= sel.Maxt {
			out = append(out, byT[t])
		}
	}
	return out
}

func matches(ls series.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(string(ls.Get(m.Name))) {
			return false
		}
	}
	return true
}

// Select returns the series that match and have samples in the time range.
func (o *Oracle) Select(_ context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	set := &sliceSet{}
	for _, name := range o.mu.names {
		ls := series.Labels(name)
		if !matches(ls, sel.Matchers) || !sel.Shards.Has(ls.Fingerprint()) {
			continue
		}
		found := o.samples(name, sel)
		if len(found) == 0 {
			continue
		}
		s := chunk.Series{Fingerprint: ls.Fingerprint(), Labels: ls}
		if !sel.SkipChunks {
			var b chunk.Builder
			for _, sample := range found {
				if err := b.Append(sample); err != nil {
					return nil, err
				}
			}
			s.Chunks = b.Close(nil)
		}
		set.series = append(set.series, s)
	}
	slices.SortFunc(set.series, func(a, b chunk.Series) int {
		return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels)
	})
	if sel.Limit > 0 && len(set.series) > sel.Limit {
		set.series = set.series[:sel.Limit]
	}
	return set, nil
}

// LabelNames are the names of the series that Select would return.
func (o *Oracle) LabelNames(ctx context.Context, sel series.Selector) ([]string, error) {
	return o.collect(ctx, sel, func(name, _ []byte) (string, bool) { return string(name), true })
}

// LabelValues are the values of a label of the series that Select would return.
func (o *Oracle) LabelValues(ctx context.Context, name string, sel series.Selector) ([]string, error) {
	return o.collect(ctx, sel, func(n, value []byte) (string, bool) { return string(value), string(n) == name })
}

func (o *Oracle) collect(
	ctx context.Context, sel series.Selector, pick func(name, value []byte) (string, bool),
) ([]string, error) {
	sel.SkipChunks = true
	set, err := o.Select(ctx, sel)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for set.Next() {
		for name, value := range set.At().Labels.All() {
			if s, ok := pick(name, value); ok {
				found[s] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// Delete removes samples.
func (o *Oracle) Delete(_ context.Context, mint, maxt int64, ms ...*labels.Matcher) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, byT := range o.mu.series {
		if matches(series.Labels(name), ms) {
			maps.DeleteFunc(byT, func(t int64, _ series.Sample) bool { return mint <= t && t <= maxt })
		}
	}
	return nil
}

// Flush does nothing.
func (o *Oracle) Flush(context.Context) error { return nil }

// Close does nothing; the oracle can be used on.
func (o *Oracle) Close() error { return nil }

// sliceSet is a chunk.SeriesSet over a slice.
type sliceSet struct {
	series []chunk.Series
	at     int
}

func (s *sliceSet) Next() bool {
	s.at++
	return s.at <= len(s.series)
}

func (s *sliceSet) At() chunk.Series { return s.series[s.at-1] }

func (s *sliceSet) Err() error { return nil }

func (s *sliceSet) Close() error { return nil }
