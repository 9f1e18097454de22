package leaf

import (
	"context"
	"errors"
	"runtime"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/changes"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Store is what a node holds. Series come in the order of series.Compare, names and values sorted.
type Store interface {
	Select(ctx context.Context, sel series.Selector) (chunk.SeriesSet, error)
	LabelNames(ctx context.Context, sel series.Selector) ([]string, error)
	LabelValues(ctx context.Context, name string, sel series.Selector) ([]string, error)
	// Exemplars returns those of series that match all matchers of any of the sets.
	Exemplars(ctx context.Context, mint, maxt int64, ms ...[]*labels.Matcher) ([]frame.ExemplarSeries, error)
	Metadata(ctx context.Context) []frame.Metadata
	// Cardinality counts what the newest series have that are in the selector's shards, for a ranking of
	// as many as its limit. Of the rest of it only Take counts.
	Cardinality(ctx context.Context, sel series.Selector) (*cardinality.Counts, error)
}

// Node is what can be asked: a Store that may be out of reach.
type Node interface {
	Select(ctx context.Context, sel series.Selector) (chunk.SeriesSet, error)
	// Partial computes an aggregation over the series that match, as far as it goes without others. The
	// request's Params.Take is the selector's.
	Partial(ctx context.Context, sel series.Selector, req Request) (*Partial, error)
	LabelNames(ctx context.Context, sel series.Selector) ([]string, error)
	LabelValues(ctx context.Context, name string, sel series.Selector) ([]string, error)
	// Exemplars returns those of series that match all matchers of any of the sets. Of the selector, times
	// and shards count.
	Exemplars(ctx context.Context, sel series.Selector, ms ...[]*labels.Matcher) ([]frame.ExemplarSeries, error)
	Metadata(ctx context.Context) ([]frame.Metadata, error)
	Cardinality(ctx context.Context, sel series.Selector) (*cardinality.Counts, error)
}

// Changer is a node, or a store, that knows since when samples are what they are.
type Changer interface {
	// Changes returns the present moment and the times in which answers may have become others since
	// then, as package changes has it.
	Changes(ctx context.Context, since changes.Stamp) (changes.Stamp, []changes.Span, error)
}

// Request is an aggregation that a node is to compute.
type Request struct {
	Expr *eval.Expr
	// Encoded is Expr as it is sent.
	Encoded []byte
	// Params has limits for what is computed on this node; another has its own.
	Params eval.Params
}

// Partial is what an aggregation has come to over series of one node.
type Partial struct {
	*eval.Part
	// Received is how many bytes came from the other node, if it was one.
	Received int64
}

// Leaf answers from a Store, until the context ends.
type Leaf struct{ store Store }

// New returns a Leaf over store.
func New(store Store) *Leaf { return &Leaf{store: store} }

// Select returns the series that match; the set stops with the context.
func (l *Leaf) Select(ctx context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	set, err := l.store.Select(ctx, bounded(ctx, sel))
	if err != nil {
		return nil, err
	}
	return &seriesSet{SeriesSet: set, ctx: ctx, see: ObserverOf(ctx)}, nil
}

// Partial computes an aggregation over the series that match. Its labels are its own.
func (l *Leaf) Partial(ctx context.Context, sel series.Selector, req Request) (_ *Partial, err error) {
	var read Reading
	see := ObserverOf(ctx)
	set, err := l.Select(Observe(ctx, func(r Reading) { read = r }), sel)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	p := req.Params
	p.Take = sel.Take
	part, err := req.Expr.Part(ctx, set, p)
	if err != nil {
		return nil, err
	}
	part.Set.Detach()
	if see != nil {
		read.Worked = part.Overlap
		see(read)
	}
	return &Partial{Part: part}, nil
}

// Changes returns the present moment and what was changed since then, if the store knows.
func (l *Leaf) Changes(ctx context.Context, since changes.Stamp) (changes.Stamp, []changes.Span, error) {
	if err := ctx.Err(); err != nil {
		return changes.Stamp{}, nil, err
	}
	store, ok := l.store.(Changer)
	if !ok {
		return changes.Stamp{}, nil, ErrUnchanging
	}
	return store.Changes(ctx, since)
}

// LabelNames returns the names of the labels of the series that match.
func (l *Leaf) LabelNames(ctx context.Context, sel series.Selector) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.store.LabelNames(ctx, bounded(ctx, sel))
}

// LabelValues returns the values of one label of the series that match.
func (l *Leaf) LabelValues(ctx context.Context, name string, sel series.Selector) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.store.LabelValues(ctx, name, bounded(ctx, sel))
}

// Exemplars returns the exemplars of the series that match all matchers of any of the sets.
func (l *Leaf) Exemplars(ctx context.Context, sel series.Selector, ms ...[]*labels.Matcher) ([]frame.ExemplarSeries, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := l.store.Exemplars(ctx, sel.Mint, sel.Maxt, ms...)
	if err != nil || sel.Shards == nil {
		return found, err
	}
	return slices.DeleteFunc(found, func(s frame.ExemplarSeries) bool { return !sel.Shards.Has(s.Labels.Fingerprint()) }), nil
}

// Metadata returns what is known of each metric family.
func (l *Leaf) Metadata(ctx context.Context) ([]frame.Metadata, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.store.Metadata(ctx), nil
}

// Cardinality counts what the newest series of some shards have.
func (l *Leaf) Cardinality(ctx context.Context, sel series.Selector) (*cardinality.Counts, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.store.Cardinality(ctx, bounded(ctx, sel))
}

// bounded makes Take fail once the context has ended, so that loops which ask for nothing else
// stop as well. Those that ask for nothing hold no lock, and let others run: a selection takes long,
// and the runtime would leave the writes behind it waiting for ten milliseconds at each of their steps.
func bounded(ctx context.Context, sel series.Selector) series.Selector {
	take := sel.Take
	sel.Take = func(bytes int64) error {
		if bytes == 0 {
			runtime.Gosched()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if take == nil {
			return nil
		}
		return take(bytes)
	}
	return sel
}

// checkEvery is how many series pass between two looks at the context.
const checkEvery = 64

type seriesSet struct {
	chunk.SeriesSet
	ctx  context.Context
	seen int
	err  error
	see  func(Reading) // nil once it was told
	read Reading
}

func (s *seriesSet) Next() bool {
	if s.seen%checkEvery == 0 && s.err == nil {
		runtime.Gosched()
		s.err = s.ctx.Err()
	}
	s.seen++
	if s.err != nil || !s.SeriesSet.Next() {
		s.tell(s.Err() == nil)
		return false
	}
	if s.see != nil {
		s.read.add(s.SeriesSet.At())
	}
	return true
}

func (s *seriesSet) tell(whole bool) {
	if s.see != nil {
		s.read.Whole = whole
		s.see(s.read)
		s.see = nil
	}
}

// Close ends the life of all series.
func (s *seriesSet) Close() error {
	s.tell(false)
	return s.SeriesSet.Close()
}

func (s *seriesSet) Err() error {
	if s.err != nil {
		return s.err
	}
	return s.SeriesSet.Err()
}
