package eval

import "github.com/barograph-db/barograph/querier/partial"

// statistics are what Result.Samples and NewSamples are the sums of, by step.
type statistics struct{ samples, reads []int64 }

func newStatistics(steps int) statistics {
	return statistics{samples: make([]int64, steps), reads: make([]int64, steps)}
}

func (s statistics) add(other statistics) {
	for i, n := range other.samples {
		s.samples[i] += n
		s.reads[i] += other.reads[i]
	}
}

func (s statistics) sums() (samples, reads int64) {
	for i, n := range s.samples {
		samples += n
		reads += s.reads[i]
	}
	return samples, reads
}

// see adds what the steps see of one series: a window, or one value where there is one.
func (s statistics) see(x *Expr, w *work, values []float64) {
	before := int32(0)
	for i := range s.samples {
		if x.function.current {
			if !partial.IsAbsent(values[i]) {
				s.samples[i]++
				s.reads[i]++
			}
			continue
		}
		lo, hi := w.lo[i], w.hi[i]
		s.samples[i] += int64(hi - lo)
		s.reads[i] += int64(hi - max(lo, before))
		before = hi
	}
}
