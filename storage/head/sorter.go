package head

import (
	"iter"
	"slices"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// sorter has a page's float samples series by series, those of each in the order of the log.
type sorter struct {
	from, to [pageSeries]uint32 // of each series, in the columns
	times    []int64
	values   []float64
}

// fill takes the runs of a group that are of the page; unknown is how many of their samples are of
// series that are gone. p is locked.
func (s *sorter) fill(p *page, g *group, runs iter.Seq[run]) (unknown int) {
	s.to = [pageSeries]uint32{}
	for run := range runs {
		for _, ref := range g.frames[run.frame].Refs[run.from:run.to] {
			s.to[ref.Index()%pageSeries]++
		}
	}
	sum := uint32(0)
	for j, n := range s.to {
		s.from[j], s.to[j] = sum, sum
		sum += n
	}
	s.times = slices.Grow(s.times[:0], int(sum))[:sum]
	s.values = slices.Grow(s.values[:0], int(sum))[:sum]
	for run := range runs {
		f := g.frames[run.frame]
		refs, times, values := f.Refs[run.from:run.to], f.Times[run.from:run.to], f.Values[run.from:run.to]
		for i, ref := range refs {
			j := ref.Index() % pageSeries
			if gen := ref.Generation(); gen == 0 || gen != p.mu.cells[j].gen {
				unknown++
				continue
			}
			at := s.to[j]
			s.times[at], s.values[at] = times[i], values[i]
			s.to[j] = at + 1
		}
	}
	return unknown
}

// replaySorted puts a page's float samples in, series by series.
func (b *batch) replaySorted(p *page, s *sorter, g *group, runs iter.Seq[run]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.tally.rejected[frame.UnknownRef] += int64(s.fill(p, g, runs))
	for j := range p.mu.cells {
		if s.from[j] < s.to[j] {
			b.sum += p.mu.cells[j].open.Warm()
		}
	}
	for j := range p.mu.cells {
		if from, to := s.from[j], s.to[j]; from < to {
			b.series(p, uint32(j), s.times[from:to], s.values[from:to])
		}
	}
}

// series puts samples of one series in: as many as go the quick way at once, which is what run says of
// a single one.
func (b *batch) series(p *page, j uint32, times []int64, values []float64) {
	c := &p.mu.cells[j]
	for len(times) > 0 {
		n := 0
		if room := chunk.MaxSamples - c.open.Len(); c.gate.Load() == c.gen && c.open.LastT() >= b.start &&
			uint(room-1) < chunk.MaxSamples-1 {
			room = min(room, len(times))
			n = c.open.AppendRun(times[:room], values[:room], b.end)
			b.quick += int64(n)
		}
		if n > 0 {
			b.maxTime = max(b.maxTime, times[n-1])
		} else {
			n = 1
			if reason := b.put(p, series.MakeRef(j, c.gen), series.Sample{T: times[0], V: values[0]}); reason != 0 {
				b.tally.rejected[reason]++
			}
		}
		times, values = times[n:], values[n:]
	}
}

// replayInOrder puts all kinds of samples in, as the log has them.
func (b *batch) replayInOrder(p *page, g *group, runs iter.Seq[run]) {
	for run := range runs {
		f := g.frames[run.frame]
		b.frame, b.keep = &f.Frame, f.keep
		if run.histograms {
			b.histogram(int(run.from))
			continue
		}
		p.mu.Lock()
		b.run(p, g.places[run.from:run.to])
		p.mu.Unlock()
	}
}
