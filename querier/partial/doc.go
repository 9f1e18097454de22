// Package partial holds what an aggregation has come to over some of its series: a column with one
// accumulator for each step, to which series are added and which merge with those of other series,
// whoever read them. It does no I/O.
//
// A column of values has Absent at each step without a value. Absent is the stale marker, which is
// never a value: queries leave stale markers out, and no arithmetic makes one.
//
// Adding series one by one computes bit for bit what Prometheus' engine does. Merging adds in
// another order, which may change the last bits of sums; Merge refuses where it could change more.
package partial
