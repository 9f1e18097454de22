// Package eval computes the commonest parts of dashboard expressions over columns of samples: a
// function over a range or the current value of each series, operations with numbers on that, and
// an aggregation.
//
//	sum by (job) (rate(requests_total{code="500"}[5m]))
//	  │             │    └ Expr.Selector reads these series
//	  │             └ kernel: a column of samples in, one value for each step out
//	  └ partial.Column: values of the series of a group in, one result for each step out
//
// Series are split between all cores, those of a group side by side, so that few groups have to be
// merged. Each chunk is decoded once, into columns that the next series reuses.
//
// An aggregation can be computed in parts, each over the series of one node: Expr.Part there, what
// package partial has to encode it, and Expr.Finish where the parts meet.
//
// Series with native histograms are read sample by sample, as the engine reads them, and windows of
// them given to the engine's own functions. The sums are ours.
//
// Results are those of Prometheus' engine, to the bit but for the order in which a sum over several
// cores is added; where order would decide more, each group is evaluated by one core. What this
// package does not know is not matched, or ends with ErrFallback once it is met: start timestamps
// where they count, histograms under operations with numbers or in chunks that overlap, series that
// differ by their name alone when a function drops it, sums beyond the range of floats. The caller
// then asks the engine.
package eval
