package wire

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Remote is another node. Each question is a stream of its own.
type Remote struct{ open Open }

var _ leaf.Node = (*Remote)(nil)

// NewRemote returns the node that open reaches.
func NewRemote(open Open) *Remote { return &Remote{open: open} }

// Select returns the series that match, once the first of them are here. The set ends with the context.
func (r *Remote) Select(ctx context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	a, err := r.ask(ctx, methodSelect, &request{selector: sel, sets: [][]Matcher{toSend(sel.Matchers)}}, sel.Take)
	if err != nil {
		return nil, err
	}
	set := &seriesSet{answer: a, rows: rowsDecoder{take: a.take}}
	if set.fetch(); set.err != nil {
		return nil, set.err
	}
	return set, nil
}

// LabelNames returns the names of the labels of the series that match.
func (r *Remote) LabelNames(ctx context.Context, sel series.Selector) ([]string, error) {
	return ask(ctx, r, methodNames, &request{selector: sel, sets: [][]Matcher{toSend(sel.Matchers)}}, sel.Take, &sortedStrings{})
}

// LabelValues returns the values of one label of the series that match.
func (r *Remote) LabelValues(ctx context.Context, name string, sel series.Selector) ([]string, error) {
	req := &request{selector: sel, name: name, sets: [][]Matcher{toSend(sel.Matchers)}}
	return ask(ctx, r, methodValues, req, sel.Take, &sortedStrings{})
}

// Exemplars returns the exemplars of the series that match all matchers of any of the sets.
func (r *Remote) Exemplars(ctx context.Context, sel series.Selector, ms ...[]*labels.Matcher) ([]frame.ExemplarSeries, error) {
	req := &request{selector: series.Selector{Mint: sel.Mint, Maxt: sel.Maxt, Shards: sel.Shards}, sets: make([][]Matcher, len(ms))}
	for i, set := range ms {
		req.sets[i] = toSend(set)
	}
	return ask(ctx, r, methodExemplars, req, atMost(maxUnaccounted), exemplars{})
}

// Metadata returns what is known of each metric family.
func (r *Remote) Metadata(ctx context.Context) ([]frame.Metadata, error) {
	return ask(ctx, r, methodMetadata, &request{}, atMost(maxUnaccounted), metadata{})
}

// Cardinality counts what the newest series of some shards have.
func (r *Remote) Cardinality(ctx context.Context, sel series.Selector) (*cardinality.Counts, error) {
	found, err := ask(ctx, r, methodCardinality, &request{selector: sel, sets: [][]Matcher{nil}}, sel.Take, counts{})
	if err == nil && len(found) != 1 {
		err = malformed("%d counts", len(found))
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// maxUnaccounted is how many bytes an answer may take for which there is no account.
const maxUnaccounted = 64 << 20

// errTooMuch refuses an answer that no honest node sends.
var errTooMuch = errors.New("the answer takes too many bytes")

func atMost(bytes int64) func(int64) error {
	return func(n int64) error {
		if bytes -= n; bytes < 0 {
			return errTooMuch
		}
		return nil
	}
}

// answer is what comes back to a question.
type answer struct {
	ctx  context.Context
	conn ClientConn
	take func(int64) error
	done bool               // The end was seen.
	size int64              // of all batches
	see  func(leaf.Reading) // nil once it was told
	read leaf.Reading
}

func (r *Remote) ask(ctx context.Context, method string, req *request, take func(int64) error) (*answer, error) {
	if take == nil {
		take = func(int64) error { return nil }
	}
	conn, err := r.open(ctx, method)
	if err != nil {
		return nil, err
	}
	s := sender{conn: conn}
	req.epoch = leaf.EpochOf(ctx)
	if err := s.send(kindRequest, appendRequest(nil, method, req)); err != nil {
		conn.Close()
		return nil, because(ctx, err)
	}
	a := &answer{ctx: ctx, conn: conn, take: take, see: leaf.ObserverOf(ctx)}
	a.conn = received{conn, &a.read.Received}
	return a, nil
}

// received counts the bytes that are received.
type received struct {
	ClientConn
	bytes *int64
}

// Recv receives a message.
func (r received) Recv(dst []byte) ([]byte, error) {
	msg, err := r.ClientConn.Recv(dst)
	*r.bytes += int64(len(msg))
	return msg, err
}

// close ends the request, and tells what is known of it.
func (a *answer) close() {
	a.conn.Close()
	if a.see != nil {
		a.see(a.read)
		a.see = nil
	}
}

// because prefers the end of the context to what it has caused.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// next returns the next batch; nil at the end, which must count that many items.
func (a *answer) next(items func() int) ([]byte, error) {
	kind, body, err := receive(a.conn, maxBody, a.take)
	switch {
	case err != nil:
		return nil, because(a.ctx, err)
	case kind == kindBatch:
		a.size += int64(len(body))
		return body, nil
	case kind == kindFailure:
		return nil, because(a.ctx, decodeFailure(body))
	case kind != kindEnd:
		return nil, malformed("of kind %d in an answer", kind)
	}
	a.done = true
	_, _ = a.conn.Recv(nil) // The handler returns at once, so that nothing needs to be ended.
	said, err := decodeEnd(body, items())
	said.Received = a.read.Received
	a.read = said
	a.close()
	return nil, err
}

// ask asks for a list.
func ask[T any](ctx context.Context, r *Remote, method string, req *request, take func(int64) error, c codec[T]) ([]T, error) {
	a, err := r.ask(ctx, method, req, take)
	if err != nil {
		return nil, err
	}
	defer a.close()
	var items []T
	for {
		body, err := a.next(func() int { return len(items) })
		if err == nil && a.done {
			return items, nil
		}
		if err == nil {
			items, err = decodeList(items, body, c, a.take)
		}
		if err != nil {
			return nil, err
		}
	}
}

// seriesSet gives the series of an answer as they come. All of their memory is its own.
type seriesSet struct {
	*answer
	rows   rowsDecoder
	ready  []chunk.Series
	at     int
	err    error
	closed bool
}

// Next moves to the next series.
func (s *seriesSet) Next() bool {
	if s.at+1 > len(s.ready) && !s.closed {
		s.fetch()
	}
	s.at++
	return s.at <= len(s.ready)
}

// fetch gets the next series, unless it comes to the end.
func (s *seriesSet) fetch() {
	s.ready, s.at = nil, 0
	for len(s.ready) == 0 && s.err == nil && !s.done {
		var body []byte
		if body, s.err = s.next(func() int { return s.rows.series }); s.err != nil {
			break
		}
		if s.done {
			if s.rows.more {
				s.err = fmt.Errorf("%w within a series", errCut)
			}
			break
		}
		s.ready, s.err = s.rows.decode(body)
	}
	if s.err != nil {
		s.ready = nil
		s.close()
	}
}

// At returns the series.
func (s *seriesSet) At() chunk.Series { return s.ready[s.at-1] }

// Err returns what ended the set early.
func (s *seriesSet) Err() error { return s.err }

// Close ends the request.
func (s *seriesSet) Close() error {
	s.closed = true
	s.close()
	return nil
}
