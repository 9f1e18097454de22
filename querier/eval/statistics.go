package eval

import "github.com/barograph-db/barograph/querier/partial"

// Statistics are what Result.Samples and NewSamples are the sums of, by step.
type Statistics struct{ Samples, NewSamples []int64 }

func newStatistics(steps int) Statistics {
	return Statistics{Samples: make([]int64, steps), NewSamples: make([]int64, steps)}
}

func (s Statistics) add(other Statistics) {
	for i, n := range other.Samples {
		s.Samples[i] += n
		s.NewSamples[i] += other.NewSamples[i]
	}
}

func (s Statistics) sums() (samples, reads int64) {
	for i, n := range s.Samples {
		samples += n
		reads += s.NewSamples[i]
	}
	return samples, reads
}

// see adds what the steps see of one series: a window, or one value where there is one.
func (s Statistics) see(x *Expr, w *work, values []float64) {
	before := int32(0)
	for i := range s.Samples {
		if x.function.current {
			if !partial.IsAbsent(values[i]) {
				s.Samples[i]++
				s.NewSamples[i]++
			}
			continue
		}
		lo, hi := w.lo[i], w.hi[i]
		s.Samples[i] += int64(hi - lo)
		s.NewSamples[i] += int64(hi - max(lo, before))
		before = hi
	}
}
