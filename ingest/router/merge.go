package router

import (
	"cmp"
	"slices"

	"github.com/barograph-db/barograph/storage/frame"
)

// verdict is what replicas say of one element.
type verdict struct {
	against int // whole replicas that rejected it
	reason  frame.Reason
}

// rejected merges what the nodes rejected and what no node was given.
func (w *write) rejected() []frame.Rejected {
	elements := w.frame.Samples() + len(w.frame.Exemplars)
	var verdicts []verdict
	for _, t := range w.targets {
		if t.answered && t.err == nil && len(t.rejected) > 0 {
			if verdicts == nil {
				verdicts = make([]verdict, elements)
			}
			w.judge(verdicts, t)
		}
	}
	if verdicts == nil && w.deal.stale == 0 {
		return nil
	}
	var all []frame.Rejected
	for i, g := range w.deal.groups[:elements] {
		if g == none {
			all = append(all, frame.Rejected{Index: i, Reason: frame.UnknownRef})
		} else if verdicts != nil && verdicts[i].against > 0 && verdicts[i].against == w.mu.state.Acks(g) {
			all = append(all, frame.Rejected{Index: i, Reason: verdicts[i].reason})
		}
	}
	return all
}

// judge adds what a node rejected. Its k-th element is the k-th of the caller's that it was to get. Of
// different reasons the highest counts.
func (w *write) judge(verdicts []verdict, t *target) {
	slices.SortFunc(t.rejected, func(a, b frame.Rejected) int { return cmp.Compare(a.Index, b.Index) })
	rejected, k := t.rejected, 0
	for i := range verdicts {
		g := w.deal.groups[i]
		if g == none {
			continue
		}
		place := slices.Index(w.routes.table.Nodes(g), t.node)
		if place < 0 {
			continue
		}
		for len(rejected) > 0 && rejected[0].Index < k {
			rejected = rejected[1:]
		}
		if len(rejected) == 0 {
			return
		}
		if rejected[0].Index == k && place < w.routes.table.Whole(g) {
			verdicts[i].against++
			verdicts[i].reason = max(verdicts[i].reason, rejected[0].Reason)
		}
		k++
	}
}
