package querier

import (
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/barograph-db/barograph/querier/eval"
)

// computedSet gives what was computed to promql as series.
type computedSet struct {
	result  *eval.Result
	hold    func(*eval.Series) error // called before a series is handed out
	next    int
	builder labels.ScratchBuilder
	err     error
}

func newComputedSet(r *eval.Result, hold func(*eval.Series) error) *computedSet {
	return &computedSet{result: r, hold: hold, builder: labels.NewScratchBuilder(8)}
}

func (s *computedSet) Next() bool {
	s.next++
	if s.err != nil || s.next > len(s.result.Series) {
		return false
	}
	s.err = s.hold(&s.result.Series[s.next-1])
	return s.err == nil
}

func (s *computedSet) At() promstorage.Series {
	c := &s.result.Series[s.next-1]
	return &computedSeries{labels: c.Labels.Labels(&s.builder), values: c.Values, grid: s.result.Grid}
}

func (s *computedSet) Err() error                        { return s.err }
func (s *computedSet) Warnings() annotations.Annotations { return s.result.Annotations }

type computedSeries struct {
	labels labels.Labels
	values []float64
	grid   eval.Grid
}

func (s *computedSeries) Labels() labels.Labels { return s.labels }

func (s *computedSeries) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it, ok := reuse.(*computedIterator)
	if !ok {
		it = &computedIterator{}
	}
	*it = computedIterator{series: s, i: -1}
	return it
}

// computedIterator gives one sample for each step, stale markers where there is no value.
type computedIterator struct {
	series *computedSeries
	i      int
}

func (it *computedIterator) Next() chunkenc.ValueType {
	it.i = min(it.i+1, len(it.series.values))
	return it.typ()
}

// Seek moves to the first step at or after t, and never back.
func (it *computedIterator) Seek(t int64) chunkenc.ValueType {
	g := it.series.grid
	if t > g.Start {
		steps := (t - g.Start + g.Step - 1) / g.Step
		it.i = max(it.i, int(min(steps, int64(len(it.series.values)))))
	}
	it.i = max(it.i, 0)
	return it.typ()
}

func (it *computedIterator) typ() chunkenc.ValueType {
	if it.i >= len(it.series.values) {
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

func (it *computedIterator) At() (int64, float64) { return it.AtT(), it.series.values[it.i] }
func (it *computedIterator) AtT() int64 {
	return it.series.grid.Start + int64(it.i)*it.series.grid.Step
}
func (it *computedIterator) AtST() int64 { return 0 }
func (it *computedIterator) Err() error  { return nil }

func (it *computedIterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	panic("computed series have floats only")
}

func (it *computedIterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	panic("computed series have floats only")
}
