// Package cache keeps results of range queries by their steps, so that who asks again, a little later,
// has only the steps computed that are new. What is taken from it is what would be computed now: it is
// kept with the moments at which the nodes' storages were read, and a step goes once a sample that it
// sees was changed.
//
//	Key: text, step, phase, how far to look back ...         Stamps: the view of the nodes, a moment of each
//	  └─ Entry
//	       ├─ segment  steps 0-1439     ──► block: a column for each series, notes
//	       ├─ segment  steps 1440-1447  ──► block        (neighbours of like length become one)
//	       └─ segment  steps 1449-1449  ──► block
//
// Steps have numbers: step n of a key is at n*Step+Phase. An entry is never changed; whoever takes it
// makes another of it, which takes its place:
//
//	Get ─► ask the nodes for their stamps, and what was changed since those of the entry
//	    ─► Current: without the steps that see such a time
//	    ─► Missing: the steps to compute now
//	    ─► With: what was computed  ─► Put
//	           └► Matrix: all steps that were asked for
//
// The stamps are taken before anything is computed, so that what changes meanwhile is found the next
// time. Samples that arrive in order are changes as well, of the newest times: a step that was computed
// before all of its samples were there is computed again, and nothing has to be guessed of how late
// samples are.
//
// # What a step sees
//
// Analyse finds in an expression which times the value of a step depends on: from so long before the
// step to so long before or after it (offset), and times that are the same for all steps (@). A query
// whose steps depend on where it begins or ends has none of it and is never kept: start() and end(),
// range(), durations that are computed, anchored and smoothed ranges.
//
// # Memory
//
// A cache holds so many bytes; the entry that was not asked for the longest goes first. One entry is at
// most an eighth of it, and has at most twice as many steps as were ever asked for at a time. Blocks are
// shared by entries that follow each other; the bytes of one whose steps are mostly gone are given back
// by copying the rest.
//
// Cache may be used concurrently, everything else is never changed once it is made.
package cache
