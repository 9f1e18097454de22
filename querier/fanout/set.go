package fanout

import (
	"context"
	"errors"

	"github.com/barograph-db/barograph/querier/explain"
	"github.com/barograph-db/barograph/querier/merge"
	"github.com/barograph-db/barograph/querier/plan"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// partSet gives the series of a part. When a node fails on the way, others are asked for the part and
// go on behind the last series that was given.
type partSet struct {
	*asking[chunk.SeriesSet]
	ctx    context.Context
	part   plan.Part
	cur    chunk.SeriesSet   // nil: Nothing is left.
	opened []chunk.SeriesSet // cur and those before it, whose series are in use
	try    *try[chunk.SeriesSet]
	tries  int
	failed []plan.Node
	last   chunk.Series
	begun  bool
	err    error
}

func newPartSet(ctx context.Context, a *asking[chunk.SeriesSet], o Outcome[chunk.SeriesSet]) chunk.SeriesSet {
	s := &partSet{asking: a, ctx: ctx, part: o.Part, tries: 1}
	s.open(o.try, o.Values)
	return s
}

func (s *partSet) open(t *try[chunk.SeriesSet], sets []chunk.SeriesSet) {
	s.try, s.cur = t, merge.Sets(sets)
	s.opened = append(s.opened, s.cur)
}

// Next moves to the next series.
func (s *partSet) Next() bool {
	for s.err == nil && s.cur != nil {
		if s.cur.Next() {
			next := s.cur.At()
			if s.begun && series.Compare(next.Fingerprint, next.Labels, s.last.Fingerprint, s.last.Labels) <= 0 {
				continue // It was given before the node failed.
			}
			s.last, s.begun = next, true
			return true
		}
		err := s.cur.Err()
		if err == nil {
			return false
		}
		s.goOn(err)
	}
	return false
}

// goOn asks other nodes in place of the one that failed.
func (s *partSet) goOn(err error) {
	var node *nodeError
	if s.try.final(err) || !errors.As(err, &node) {
		s.err = err
		return
	}
	s.try.end()
	for failed := []plan.Node{node.node}; ; {
		s.failed = append(s.failed, failed...)
		p, parts, lost := s.replace(s.ctx, s.part, s.failed, s.tries, err)
		if lost != nil || len(parts) == 0 {
			s.err, s.cur = lost, nil
			return
		}
		s.tries++
		res := s.attempt(s.begin(s.ctx, p, s.part, explain.Instead), parts)
		switch {
		case res.err == nil:
			res.try.attempt.Taken()
			s.open(res.try, res.values)
			return
		case res.final:
			s.err = res.err
			return
		}
		failed, err = s.faulty(s.ctx, res), res.err
	}
}

// At returns the series.
func (s *partSet) At() chunk.Series { return s.last }

// Err returns what ended the set early.
func (s *partSet) Err() error { return s.err }

// Close ends the life of all series.
func (s *partSet) Close() error {
	var errs []error
	for _, set := range s.opened {
		errs = append(errs, set.Close())
	}
	s.try.end()
	return errors.Join(errs...)
}

// nodeSet says whose its errors are.
type nodeSet struct {
	chunk.SeriesSet
	node plan.Node
}

// Err returns what ended the set early.
func (s nodeSet) Err() error {
	if err := s.SeriesSet.Err(); err != nil {
		return &nodeError{s.node, err}
	}
	return nil
}
