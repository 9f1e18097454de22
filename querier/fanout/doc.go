// Package fanout carries out a plan: it asks each node for its part, as many at a time as are
// allowed, and settles in one place what it means when a node has no answer.
//
// A node is a leaf.Store: by plain call when it is this one. Every node ends with one Outcome;
// settle alone looks at all of them: a part that is missing fails the whole, since nobody may be
// given part of an answer unknowingly.
package fanout
