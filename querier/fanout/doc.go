// Package fanout carries out a plan: it asks each node for its part, as many at a time as are
// allowed, and settles in one place what it means when a part has no answer.
//
// A node is a leaf.Node: by plain call when it is this one. A part is settled by attempts, of which
// the first is to ask the node that the plan names:
//
//	ask the part's node ──► answers ───────────────► that is it
//	      │      └────────► fails ──────────────────► ask the others, as Plan.Instead has it
//	      └───────────────► says nothing for long ──► ask the others beside it (a hedge); the first
//	                                                  to answer is taken, the other told to stop
//
// How long is long is a percentile of how long such requests took lately, within bounds. A set of
// series has answered when its first series are here; if the node fails later, the others are asked
// for the same and go on behind the last series that was handed out.
//
// Partial results of an aggregation are asked only of who has all samples of a series. Where a node
// could only be replaced by several that have some of them each, the asking ends with ErrDivided.
//
// Every part ends with one Outcome; settle alone looks at all of them. A part that is missing fails
// the whole, since nobody may be given part of an answer unknowingly, unless the context has a Missing
// (see Allow), which then knows the shards and times that the answer lacks. An error of which the
// question is the cause, such as a limit, is asked nowhere else and always fails the whole.
package fanout
