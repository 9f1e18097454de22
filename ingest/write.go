package ingest

import (
	"context"
	"fmt"
	"math"
	"sort"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Store is what the Writer asks of the storage.
type Store interface {
	// Refs appends to dst the reference of each label set, creating the series that are missing.
	// Neither it nor Find keeps anything of sets.
	Refs(ctx context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error)
	// Find is Refs without creating: zero stands for a label set that is not there.
	Find(dst []series.Ref, sets []series.Labels) []series.Ref
	// Active is the number of series that Refs and Find know.
	Active() int
	// Append returns when the samples of f are stored, with those it refused. f may be reused then.
	Append(ctx context.Context, f *frame.Frame) ([]frame.Rejected, error)
}

// Writer is the Appender at the end of the path: it writes to this node's Store.
type Writer struct {
	store   Store
	opts    Options
	cache   *cache
	starts  *starts
	metrics *metrics
	scratch sync.Pool
}

// NewWriter returns a Writer over store.
func NewWriter(store Store, opts Options) (*Writer, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	w := &Writer{
		store:   store,
		opts:    opts,
		cache:   newCache(opts.CacheEntries, uint32(opts.CacheIdle/epoch)),
		starts:  newStarts(opts.CacheEntries),
		metrics: newMetrics(opts.Registerer),
	}
	w.scratch.New = func() any { return new(scratch) }
	return w, nil
}

// epoch is the grain in which the cache notes when an entry was last used.
const epoch = time.Minute

// scratch is the working space of one Append.
type scratch struct {
	refs    []series.Ref // per run: its reference, 0 if it is refused
	origins []Origin     // per run: where it comes from; empty without an Elector
	votes   ballots
	frame   frame.Frame
	own     columns
	miss    misses
	result  Result
	bounds  bounds
}

// columns are the float samples of a frame that can't just view those of the batch, and where each
// element of the frame came from.
type columns struct {
	times  []int64
	values []float64
	starts []int64

	plain      bool     // the frame views the batch's columns, all of them
	floats     []origin // unless plain
	histograms []origin
	exemplars  []uint32 // runs
}

// An origin is a run; the sign says that the sample was made up here and does not count.
type origin int32

func (o origin) run() int {
	if o < 0 {
		return int(^o)
	}
	return int(o)
}

func (o origin) counts() bool { return o >= 0 }

// bounds are the timestamps that are taken, both inclusive.
type bounds struct{ mint, maxt int64 }

func (w *Writer) bounds(now time.Time) bounds {
	b := bounds{mint: math.MinInt64, maxt: now.Add(w.opts.MaxFuture).UnixMilli()}
	if w.opts.Retention > 0 {
		b.mint = now.Add(-w.opts.Retention).UnixMilli()
	}
	return b
}

// reason says why t is refused; zero if it is not.
func (b bounds) reason(t int64) Reason {
	switch {
	case t > b.maxt:
		return TooNew
	case t < b.mint:
		return TooOld
	}
	return 0
}

func (b bounds) holdAll(times []int64) bool {
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	for _, t := range times {
		lo, hi = min(lo, t), max(hi, t)
	}
	return len(times) == 0 || lo >= b.mint && hi <= b.maxt
}

// Append implements Appender.
func (w *Writer) Append(ctx context.Context, b *Batch) (Result, error) {
	s := w.scratch.Get().(*scratch)
	defer w.put(s)
	now := time.Now()
	s.begin(len(b.Runs), w.bounds(now), w.opts.Elector != nil)
	s.votes.reset()
	s.result.Rejections.Merge(b.Rejections)

	age := uint32(now.Unix() / int64(epoch/time.Second))
	if evicted := w.cache.tidy(age); evicted > 0 {
		w.metrics.evictions.Add(float64(evicted))
		w.metrics.entries.Set(float64(w.cache.len()))
	}
	missing := w.cache.lookup(s.refs, s.origins, b.Runs, age)
	w.metrics.hits.Add(float64(len(b.Runs) - missing))
	if len(s.origins) > 0 {
		missing = w.elect(ctx, b, s)
	}
	if missing > 0 {
		if err := w.resolve(ctx, b, s, age); err != nil {
			return Result{}, AsError(err)
		}
	}
	w.tell(s)
	w.fill(b, s)
	lost, err := w.send(ctx, b, s)
	if err == nil && len(lost) > 0 {
		err = w.again(ctx, b, s, lost, age)
	}
	if err != nil {
		return Result{}, AsError(err)
	}
	res := s.result
	w.metrics.observe(&res)
	return res, nil
}

func (s *scratch) begin(runs int, bounds bounds, elect bool) {
	if cap(s.refs) < runs {
		s.refs = make([]series.Ref, runs)
	}
	s.refs = s.refs[:runs]
	if elect {
		if cap(s.origins) < runs {
			s.origins = make([]Origin, runs)
		}
		s.origins = s.origins[:runs]
		clear(s.origins)
	}
	s.result = Result{}
	s.bounds = bounds
}

// The scratch space that is kept for later is bounded.
const (
	maxPooledRuns = 1 << 16
	maxPooledText = 1 << 20
)

func (w *Writer) put(s *scratch) {
	s.result = Result{}
	s.votes.reset()
	clear(s.frame.Histograms)
	clear(s.frame.Exemplars)
	s.frame = blank(&s.frame)
	s.miss.reset()
	if cap(s.refs) <= maxPooledRuns && cap(s.frame.Refs) <= maxPooledRuns && cap(s.own.floats) <= maxPooledRuns &&
		cap(s.frame.Histograms) <= maxPooledRuns && cap(s.miss.text) <= maxPooledText {
		w.scratch.Put(s)
	}
}

// blank keeps the memory of those columns of f that are never views of a batch.
func blank(f *frame.Frame) frame.Frame {
	return frame.Frame{Refs: f.Refs[:0], Histograms: f.Histograms[:0], Exemplars: f.Exemplars[:0]}
}

// fill makes the frame of all runs that have a reference.
func (w *Writer) fill(b *Batch, s *scratch) {
	f := &s.frame
	*f = blank(f)
	f.Metadata = b.Metadata
	s.own.plain = w.fillPlain(b, s)
	if !s.own.plain {
		w.fillFloats(b, s)
	}
	if len(b.Histograms) > 0 {
		w.fillHistograms(b, s)
	}
	if len(b.Exemplars) > 0 {
		fillExemplars(b, s)
	}
}

// fillPlain is the usual case: every sample is taken, so that only references need be written. It
// returns false when the case is another one.
func (w *Writer) fillPlain(b *Batch, s *scratch) bool {
	if len(b.Starts) > 0 && w.opts.StartTimestampZero || !s.bounds.holdAll(b.Times) {
		return false
	}
	refs := s.frame.Refs[:0]
	for i := range b.Runs {
		span, ref := b.Runs[i].Floats, s.refs[i]
		if int(span.From) != len(refs) || ref == 0 && span.From != span.To {
			return false
		}
		for range span.Len() {
			refs = append(refs, ref)
		}
	}
	s.frame.Refs = refs
	if len(refs) != len(b.Times) {
		return false
	}
	// A start that is not before its sample says nothing.
	for i, st := range b.Starts {
		if st >= b.Times[i] {
			b.Starts[i] = 0
		}
	}
	s.frame.Times, s.frame.Values, s.frame.Starts = b.Times, b.Values, b.Starts
	return true
}

// fillFloats copies what is taken.
func (w *Writer) fillFloats(b *Batch, s *scratch) {
	o := &s.own
	o.times, o.values, o.starts, o.floats = o.times[:0], o.values[:0], o.starts[:0], o.floats[:0]
	refs := s.frame.Refs[:0]
	keepStarts := len(b.Starts) > 0 && !w.opts.StartTimestampZero
	for i := range b.Runs {
		run, ref := &b.Runs[i], s.refs[i]
		if ref == 0 { // Refused as a whole, and counted.
			continue
		}
		for j := run.Floats.From; j < run.Floats.To; j++ {
			t := b.Times[j]
			if why := s.bounds.reason(t); why != 0 {
				s.refuse(b, why, i, Counts{Samples: 1}, t)
				continue
			}
			st := int64(0)
			if len(b.Starts) > 0 && b.Starts[j] < t {
				st = b.Starts[j]
			}
			if w.opts.StartTimestampZero && w.zeroAt(s, i, st) {
				refs, o.times, o.values = append(refs, ref), append(o.times, st), append(o.values, 0)
				o.floats = append(o.floats, ^origin(i))
			}
			refs, o.times, o.values = append(refs, ref), append(o.times, t), append(o.values, b.Values[j])
			o.floats = append(o.floats, origin(i))
			if keepStarts {
				o.starts = append(o.starts, st)
			}
		}
	}
	s.frame.Refs, s.frame.Times, s.frame.Values, s.frame.Starts = refs, o.times, o.values, o.starts
}

// zeroAt reports whether a zero is due at the start st of run i.
func (w *Writer) zeroAt(s *scratch, i int, st int64) bool {
	return st != 0 && s.bounds.reason(st) == 0 && w.starts.advance(s.refs[i], st)
}

// fillHistograms moves the histograms that are taken to the frame.
func (w *Writer) fillHistograms(b *Batch, s *scratch) {
	hs := s.frame.Histograms
	s.own.histograms = s.own.histograms[:0]
	for i := range b.Runs {
		run := &b.Runs[i]
		if s.refs[i] == 0 {
			continue
		}
		for j := run.Histograms.From; j < run.Histograms.To; j++ {
			h := b.Histograms[j]
			if why := s.bounds.reason(h.T); why != 0 {
				s.refuse(b, why, i, Counts{Histograms: 1}, h.T)
				continue
			}
			if err := checkHistogram(&h); err != nil {
				s.result.Rejections.Add(BadHistogram, Counts{Histograms: 1}, func() string {
					return fmt.Sprintf("%s of %s", err, describeRun(b, i))
				})
				continue
			}
			h.Ref = s.refs[i]
			if h.ST >= h.T {
				h.ST = 0
			}
			if w.opts.StartTimestampZero {
				if w.zeroAt(s, i, h.ST) {
					hs = append(hs, zeroHistogram(h))
					s.own.histograms = append(s.own.histograms, ^origin(i))
				}
				h.ST = 0
			}
			hs = append(hs, h)
			s.own.histograms = append(s.own.histograms, origin(i))
		}
	}
	s.frame.Histograms = hs
}

// checkHistogram validates h, and brings a resolution that is known but too fine to the finest
// that is kept.
func checkHistogram(h *frame.Histogram) error {
	if h.H != nil {
		if finer(h.H.Schema) {
			if err := h.H.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
				return err
			}
		}
		return h.H.Validate()
	}
	if finer(h.FH.Schema) {
		if err := h.FH.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
			return err
		}
	}
	return h.FH.Validate()
}

func finer(schema int32) bool {
	return histogram.IsExponentialSchemaReserved(schema) && schema > histogram.ExponentialSchemaMax
}

// zeroHistogram is an empty histogram of the same layout at the start of h.
func zeroHistogram(h frame.Histogram) frame.Histogram {
	z := frame.Histogram{Ref: h.Ref, T: h.ST}
	if h.H != nil {
		z.H = &histogram.Histogram{
			CounterResetHint: histogram.CounterReset, Schema: h.H.Schema,
			ZeroThreshold: h.H.ZeroThreshold, CustomValues: h.H.CustomValues,
		}
	} else {
		z.FH = &histogram.FloatHistogram{
			CounterResetHint: histogram.CounterReset, Schema: h.FH.Schema,
			ZeroThreshold: h.FH.ZeroThreshold, CustomValues: h.FH.CustomValues,
		}
	}
	return z
}

// fillExemplars moves the exemplars that are taken to the frame. An exemplar without a timestamp
// has no bounds to keep.
func fillExemplars(b *Batch, s *scratch) {
	s.own.exemplars = s.own.exemplars[:0]
	for i := range b.Runs {
		run := &b.Runs[i]
		if s.refs[i] == 0 {
			continue
		}
		for j := run.Exemplars.From; j < run.Exemplars.To; j++ {
			e := b.Exemplars[j]
			if why := s.bounds.reason(e.T); why != 0 && e.T != 0 {
				s.refuse(b, why, i, Counts{Exemplars: 1}, e.T)
				continue
			}
			e.Ref = s.refs[i]
			s.frame.Exemplars = append(s.frame.Exemplars, e)
			s.own.exemplars = append(s.own.exemplars, uint32(i))
		}
	}
}

func (s *scratch) refuse(b *Batch, why Reason, run int, c Counts, t int64) {
	s.result.Rejections.Add(why, c, func() string {
		return fmt.Sprintf("timestamp %s of %s", formatTime(t), describeRun(b, run))
	})
}

// formatTime prints a timestamp that may be anything.
func formatTime(t int64) string {
	if y := time.UnixMilli(t).UTC().Year(); y < 0 || y > 9999 {
		return fmt.Sprintf("%d ms", t)
	}
	return time.UnixMilli(t).UTC().Format("2006-01-02T15:04:05.000Z")
}

func describeRun(b *Batch, run int) string {
	pairs, err := b.Source.AppendPairs(nil, run)
	if err != nil {
		return AsError(err).particulars()
	}
	return Describe(pairs)
}

// runOf returns the run of float sample j of the frame.
func (s *scratch) runOf(b *Batch, j int) origin {
	if !s.own.plain {
		return s.own.floats[j]
	}
	i := sort.Search(len(b.Runs), func(i int) bool { return int(b.Runs[i].Floats.To) > j })
	return origin(i)
}
