package cache

import (
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/barograph-db/barograph/querier/partial"
)

// block is the values of some steps.
type block struct {
	steps  Steps
	series []column // in the order of labels
	notes  []note
	bytes  int64
}

// column is the values of one series.
type column struct {
	labels labels.Labels
	// floats are those of the steps from first on, partial.Absent where there is none.
	first  int64
	floats []float64
	// histograms are by step.
	histograms []cell
}

type cell struct {
	step int64
	h    *histogram.FloatHistogram
}

// note is what was remarked while some steps were computed.
type note struct {
	Steps
	notes annotations.Annotations
}

// maxNotes is how many notes a block has; more are made one.
const maxNotes = 16

// newBlock copies what was computed.
func newBlock(k *Key, c Computed) *block {
	b := &block{steps: c.Steps, series: make([]column, 0, len(c.Matrix))}
	room := int64(0)
	for _, s := range c.Matrix {
		if n := len(s.Floats); n > 0 {
			room += k.Number(s.Floats[n-1].T) - k.Number(s.Floats[0].T) + 1
		}
	}
	slab := make([]float64, 0, room)
	for _, s := range c.Matrix {
		col := column{labels: s.Metric}
		if len(s.Floats) > 0 {
			from := len(slab)
			col.first = k.Number(s.Floats[0].T)
			for _, p := range s.Floats {
				slab = pad(slab, from, k.Number(p.T)-col.first)
				slab = append(slab, p.F)
			}
			col.floats = slab[from:len(slab):len(slab)]
		}
		for _, p := range s.Histograms {
			col.histograms = append(col.histograms, cell{k.Number(p.T), p.H.Copy()})
		}
		b.series = append(b.series, col)
	}
	if len(c.Notes) > 0 {
		b.notes = []note{{c.Steps, maps.Clone(c.Notes)}}
	}
	b.weigh()
	return b
}

// pad adds steps without a value until there are n of them.
func pad(slab []float64, from int, n int64) []float64 {
	for int64(len(slab)-from) < n {
		slab = append(slab, partial.Absent)
	}
	return slab
}

// weigh counts the bytes of the block.
func (b *block) weigh() {
	const header, columnBytes, cellBytes, noteBytes = 256, 96, 16, 256
	b.bytes = header
	for i := range b.series {
		c := &b.series[i]
		b.bytes += columnBytes + int64(c.labels.ByteSize()) + 8*int64(cap(c.floats))
		for _, h := range c.histograms {
			b.bytes += cellBytes + int64(h.h.Size())
		}
	}
	for _, n := range b.notes {
		b.bytes += int64(len(n.notes)) * noteBytes
	}
}

// within is the part of the floats that is of these steps, and the first of them.
func (c *column) within(s Steps) (first int64, floats []float64) {
	from := min(max(s.First-c.first, 0), int64(len(c.floats)))
	to := min(max(s.Last+1-c.first, from), int64(len(c.floats)))
	return c.first + from, c.floats[from:to]
}

// cells is the same of the histograms.
func (c *column) cells(s Steps) []cell {
	find := func(step int64) int {
		i, _ := slices.BinarySearchFunc(c.histograms, step, func(h cell, step int64) int {
			switch {
			case h.step < step:
				return -1
			case h.step > step:
				return 1
			}
			return 0
		})
		return i
	}
	if len(c.histograms) == 0 {
		return nil
	}
	return c.histograms[find(s.First):find(s.Last+1)]
}

// rows goes through the series of all segments, in the order of labels: each has a column of each
// segment, or nil.
func rows(segments []segment, do func(ls labels.Labels, columns []*column)) {
	at, columns := make([]int, len(segments)), make([]*column, len(segments))
	for {
		var least *column
		for i, s := range segments {
			if at[i] == len(s.block.series) {
				continue
			}
			if c := &s.block.series[at[i]]; least == nil || !labels.Equal(c.labels, least.labels) && labels.Compare(c.labels, least.labels) < 0 {
				least = c
			}
		}
		if least == nil {
			return
		}
		for i, s := range segments {
			columns[i] = nil
			if at[i] < len(s.block.series) && labels.Equal(s.block.series[at[i]].labels, least.labels) {
				columns[i] = &s.block.series[at[i]]
				at[i]++
			}
		}
		do(least.labels, columns)
	}
}

// join makes one segment of neighbours.
func join(segments ...segment) segment {
	b := &block{steps: Steps{segments[0].First, segments[len(segments)-1].Last}}
	rows(segments, func(ls labels.Labels, columns []*column) {
		col := column{labels: ls}
		for i, c := range columns {
			if c == nil {
				continue
			}
			s := segments[i].Steps
			if first, floats := c.within(s); len(floats) > 0 {
				if col.floats == nil {
					col.first, col.floats = first, make([]float64, 0, segments[len(segments)-1].Last-first+1)
				}
				col.floats = append(pad(col.floats, 0, first-col.first), floats...)
			}
			col.histograms = append(col.histograms, c.cells(s)...)
		}
		if len(col.floats)+len(col.histograms) > 0 {
			b.series = append(b.series, col)
		}
	})
	for _, s := range segments {
		for _, n := range s.block.notes {
			if n.Steps = n.both(s.Steps); n.Len() > 0 {
				b.note(n)
			}
		}
	}
	b.weigh()
	return segment{b.steps, b}
}

// note adds a note, to the one before it if they say the same or are too many.
func (b *block) note(n note) {
	if last := len(b.notes) - 1; last >= 0 {
		p := &b.notes[last]
		same := maps.EqualFunc(p.notes, n.notes, func(a, b error) bool { return a.Error() == b.Error() })
		if same && p.Last+1 == n.First || last+1 >= maxNotes {
			all := maps.Clone(p.notes)
			all.Merge(n.notes)
			*p = note{Steps{p.First, n.Last}, all}
			return
		}
	}
	b.notes = append(b.notes, n)
}

// Matrix returns the values of these steps, all of which are there, in the order of labels, and what was
// remarked when they were computed. take is asked for the bytes of the points before they are made; what
// is returned is not to be written to.
func (e *Entry) Matrix(k *Key, want Steps, take func(int64) error) (promql.Matrix, annotations.Annotations, error) {
	var parts []segment
	var notes annotations.Annotations
	for _, s := range e.segments {
		if s.Steps = s.both(want); s.Len() == 0 {
			continue
		}
		parts = append(parts, s)
		for _, n := range s.block.notes {
			if n.both(s.Steps).Len() > 0 {
				notes.Merge(n.notes)
			}
		}
	}
	d := drawing{key: k, parts: parts}
	rows(parts, d.measure)
	if err := take(d.bytes()); err != nil {
		return nil, nil, err
	}
	d.points = make([]promql.FPoint, 0, d.floats)
	d.matrix = make(promql.Matrix, 0, d.series)
	rows(parts, d.draw)
	return d.matrix, notes, nil
}

// drawing makes points of columns.
type drawing struct {
	key                        *Key
	parts                      []segment
	series, floats, histograms int64
	points                     []promql.FPoint
	matrix                     promql.Matrix
}

func (d *drawing) bytes() int64 {
	const seriesBytes, pointBytes = 256, 16
	return d.series*seriesBytes + (d.floats+d.histograms)*pointBytes
}

func (d *drawing) measure(_ labels.Labels, columns []*column) {
	d.series++
	for i, c := range columns {
		if c != nil {
			_, floats := c.within(d.parts[i].Steps)
			d.floats += int64(len(floats))
			d.histograms += int64(len(c.cells(d.parts[i].Steps)))
		}
	}
}

func (d *drawing) draw(ls labels.Labels, columns []*column) {
	from := len(d.points)
	var histograms []promql.HPoint
	for i, c := range columns {
		if c == nil {
			continue
		}
		first, floats := c.within(d.parts[i].Steps)
		t := d.key.Time(first)
		for _, v := range floats {
			if !partial.IsAbsent(v) {
				d.points = append(d.points, promql.FPoint{T: t, F: v})
			}
			t += d.key.Step
		}
		for _, h := range c.cells(d.parts[i].Steps) {
			histograms = append(histograms, promql.HPoint{T: d.key.Time(h.step), H: h.h})
		}
	}
	if from == len(d.points) && len(histograms) == 0 {
		return
	}
	s := promql.Series{Metric: ls, Histograms: histograms}
	if from < len(d.points) {
		s.Floats = d.points[from:len(d.points):len(d.points)]
	}
	d.matrix = append(d.matrix, s)
}
