// Package eval computes most of what dashboards ask over columns of samples: functions of a range or
// the current value of each series, what is done to each value by itself, operations between series,
// subqueries, and aggregations, however they are put together.
//
//	sum by (job) (abs(rate(requests_total{code="500"}[5m])))
//	  │            │    │           └ Expr.Selector reads these series
//	  │            │    └ kernel: a column of samples in, one value for each step out
//	  │            └ mapping: a value in, a value out
//	  └ partial.Column: values of the series of a group in, one result for each step out
//
// Series are split between all cores, those of a group side by side, so that few groups have to be
// merged. Each chunk is decoded once, into columns that the next series reuses.
//
// In the place of the selector there may be others: the pairs of an operation between series, or the
// columns that a subquery's inside has come to at its own steps. The caller evaluates what Expr.Inner
// says first and hands it to Expr.Over.
//
// An aggregation of what it reads itself can be computed in parts, each over the series of one node:
// Expr.Request gives its encoding, Decode and Expr.Part are called there, package partial encodes what
// comes of it, and Expr.Finish is called where the parts meet. Its result is that of all series together,
// or ErrFallback.
//
// Series with native histograms are read sample by sample, as the engine reads them, and windows of
// them given to the engine's own functions. The sums are ours.
//
// Results are those of Prometheus' engine, to the bit but for sums: of several cores, which are added
// in another order, and of windows, which are the exact sum, rounded, where the engine may be off by
// a last bit. Where order would decide more, each group is evaluated by one core. What this package
// does not know is not matched, or ends with ErrFallback once it is met: start timestamps where they
// count, histograms in chunks that overlap or where more is done to them than to aggregate, series
// that differ by their name alone when a function drops it, pairs that are none at every step, sums
// beyond the range of floats. The caller then asks the engine. Always left to it are sets (and, or,
// unless), sorting, absent and absent_over_time, functions of labels and dates, @ on a subquery,
// arguments that depend on series, and, with names removed late, all but aggregations of a selector.
package eval
