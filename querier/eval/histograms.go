package eval

import (
	"math"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/chunk"
)

// hasHistograms reports whether the chunk has histograms.
func hasHistograms(c *chunk.Chunk) bool {
	switch c.Enc {
	case chunk.Histogram, chunk.FloatHistogram, chunk.HistogramST, chunk.FloatHistogramST, chunk.Packed:
		return true
	}
	return false
}

// overlap reports whether chunks overlap. What is known of a histogram's counter reset depends, there
// and only there, on how its series is read: step by step as the engine does, or once.
func overlap(chunks []chunk.Chunk) bool {
	end := int64(math.MinInt64)
	for _, c := range chunks {
		if c.MinT <= end {
			return true
		}
		end = c.MaxT
	}
	return false
}

// takesHistograms reports whether series with histograms can be evaluated here. Their kernels are
// the engine's own functions; what else is done to each series is for floats. Where buckets are
// skipped, hints on counter resets depend on the engine's way of reading, but rates have none.
func (x *Expr) takesHistograms() bool {
	switch {
	case len(x.mappings) > 0 || x.mode.StartTimes:
		return false
	case x.function.current:
		return x.function == current
	}
	return !x.mode.DelayedNames && len(x.call.Args) == 1 && (x.function.counter || !x.selector.SkipHistogramBuckets)
}

// mixed evaluates series that have histograms, and maybe floats, sample by sample: it reads them as
// the engine does and calls the engine's functions, whose results are exact in all their cases.
type mixed struct {
	expr     *Expr
	grid     Grid
	lookback int64
	want     want

	chunks     chunk.Iterator
	memo       *promstorage.MemoizedSeriesIterator
	helper     promql.EvalNodeHelper
	args       parser.Expressions
	builder    labels.ScratchBuilder
	floats     []promql.FPoint
	histograms []promql.HPoint
	out        []*histogram.FloatHistogram
	annos      annotations.Annotations
	held       int64 // Bytes of the largest series.

	tally
}

// tally is what a series counts for, in the engine's way: a histogram for as many samples as it has
// bytes of them.
type tally struct {
	points, samples, reads, widest int64
}

func sizeOf(h *histogram.FloatHistogram) int64 { return int64((h.Size() + 8) / 16) }

func newMixed(x *Expr, g Grid, lookback int64, w want) *mixed {
	m := &mixed{
		expr: x, grid: g, lookback: lookback, want: w,
		memo: promstorage.NewMemoizedEmptyIterator(lookback), builder: labels.NewScratchBuilder(8),
		out: make([]*histogram.FloatHistogram, g.Steps),
	}
	if !x.function.current {
		// The functions look at the offset, which the engine would have set by now.
		matrix, selector := *x.call.Args[0].(*parser.MatrixSelector), *x.selector
		selector.Offset = time.Duration(x.offset(g)) * time.Millisecond
		matrix.VectorSelector = &selector
		m.args = parser.Expressions{&matrix}
	}
	return m
}

// eval computes the values of a series; histograms stay valid until the next.
func (m *mixed) eval(s *input, out []float64, take func(int64) error) (partial.Values, error) {
	clear(m.out)
	for i := range out {
		out[i] = partial.Absent
	}
	m.tally = tally{}
	m.chunks.Reset(s.chunks)
	var it chunkenc.Iterator = &m.chunks
	if m.expr.selector.SkipHistogramBuckets {
		it = promql.NewHistogramStatsIterator(it)
	}
	var err error
	if m.expr.function.current {
		m.current(it, out)
		err = it.Err()
	} else if err = m.read(it, take); err == nil {
		m.apply(s, out)
	}
	for i, h := range m.out {
		if h != nil {
			m.points += sizeOf(h)
		} else if !partial.IsAbsent(out[i]) {
			m.points++
			s.floats = true
		}
	}
	if m.expr.function.current {
		m.samples, m.reads = m.points, m.points
	}
	return partial.Values{Floats: out, Histograms: m.out}, err
}

// current gives the last sample of each step unless it is a stale marker.
func (m *mixed) current(it chunkenc.Iterator, out []float64) {
	m.memo.Reset(it)
	for i := range out {
		at := m.grid.Start + int64(i)*m.grid.Step - m.expr.offset(m.grid)
		var t int64
		var v float64
		var h *histogram.FloatHistogram
		typ := m.memo.Seek(at)
		switch typ {
		case chunkenc.ValFloat:
			t, v = m.memo.At()
		case chunkenc.ValFloatHistogram:
			t, h = m.memo.AtFloatHistogram()
		}
		if typ == chunkenc.ValNone || t > at {
			var ok bool
			if _, t, v, h, ok = m.memo.PeekPrev(); !ok || t <= at-m.lookback {
				continue
			}
		}
		switch {
		case h == nil:
			out[i] = v // A stale marker is Absent by itself.
		case !value.IsStaleNaN(h.Sum):
			m.out[i] = h
		}
	}
}

// read reads all samples that count, but for stale markers. It goes over the chunks, the first seek too:
// an iterator for statistics can't seek before it has a sample.
func (m *mixed) read(it chunkenc.Iterator, take func(int64) error) error {
	m.floats, m.histograms = m.floats[:0], m.histograms[:0]
	bytes := int64(0)
	for typ := m.chunks.Seek(m.want.mint); typ != chunkenc.ValNone && it.AtT() <= m.want.maxt; typ = it.Next() {
		if typ == chunkenc.ValFloat {
			if t, v := it.At(); !value.IsStaleNaN(v) {
				m.floats = append(m.floats, promql.FPoint{T: t, F: v})
			}
			continue
		}
		t, h := it.AtFloatHistogram(m.next())
		if value.IsStaleNaN(h.Sum) {
			continue
		}
		m.histograms = append(m.histograms, promql.HPoint{T: t, H: h})
		if bytes += int64(h.Size()) + 16; bytes > m.held {
			if err := take(bytes - m.held); err != nil {
				return err
			}
			m.held = bytes
		}
	}
	return it.Err()
}

// next returns memory for a histogram: that of the series before where it had as many. No function
// returns what it was given.
func (m *mixed) next() *histogram.FloatHistogram {
	if n := len(m.histograms); n < cap(m.histograms) {
		if h := m.histograms[:n+1][n].H; h != nil {
			return h
		}
	}
	return &histogram.FloatHistogram{}
}

// apply calls the function on each window.
func (m *mixed) apply(s *input, out []float64) {
	call := promql.FunctionCalls[m.expr.call.Func.Name]
	matrix := promql.Matrix{{Metric: s.labels.Labels(&m.builder)}}
	floats, histograms := m.floats, m.histograms
	seen := m.want.mint - 1
	nextF, nextH := 0, 0
	for i := range out {
		m.helper.Ts = m.grid.Start + int64(i)*m.grid.Step
		end := m.helper.Ts - m.expr.offset(m.grid)
		begin := end - m.expr.window
		for len(floats) > 0 && floats[0].T <= begin {
			floats, nextF = floats[1:], nextF-1
		}
		for len(histograms) > 0 && histograms[0].T <= begin {
			histograms, nextH = histograms[1:], nextH-1
		}
		nextF, nextH = max(nextF, 0), max(nextH, 0)
		for nextF < len(floats) && floats[nextF].T <= end {
			nextF++
		}
		for nextH < len(histograms) && histograms[nextH].T <= end {
			nextH++
		}
		if nextF+nextH == 0 {
			continue
		}
		matrix[0].Floats, matrix[0].Histograms = floats[:nextF:nextF], histograms[:nextH:nextH]
		m.count(matrix[0], seen)
		seen = end
		vector, annos := call(nil, matrix, m.args, &m.helper)
		m.annos.Merge(annos)
		if m.helper.Out = vector[:0]; len(vector) == 0 {
			continue
		}
		if m.out[i] = vector[0].H; m.out[i] == nil {
			out[i] = vector[0].F
		}
	}
}

// count adds what a step sees, and what no step before it has.
func (m *mixed) count(window promql.Series, seen int64) {
	all := int64(len(window.Floats))
	for _, p := range window.Floats {
		if p.T > seen {
			m.reads++
		}
	}
	for _, p := range window.Histograms {
		n := sizeOf(p.H)
		if all += n; p.T > seen {
			m.reads += n
		}
	}
	m.samples += all
	m.widest = max(m.widest, all)
}
