package wire

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/storage/cardinality"
)

// Limits are those of a node on what others ask of it.
type Limits interface {
	// Admit waits for a request's turn.
	Admit(ctx context.Context) (*Admission, error)
	// Failure says what others are told of an error.
	Failure(err error) leaf.Failure
}

// Admission is what a request may do.
type Admission struct {
	// Take is asked before bytes are held.
	Take func(bytes int64) error
	// Matchers compiles what was sent, if regular expressions of that size are allowed.
	Matchers func([]Matcher) ([]*labels.Matcher, error)
	// Compute prepares for an evaluation over what the matchers select: it sets what this node allows,
	// Take included. The context ends when this node has had enough of it; done is called at its end.
	Compute func(ctx context.Context, ms []*labels.Matcher, p *eval.Params) (_ context.Context, done func())
	// Worked ends the turn: what follows is sending, at the speed of who asked. It may be called again.
	Worked func()
	// Close ends the turn and gives all bytes back.
	Close func()
}

// ServerOptions of a Server; Node and Limits are needed.
type ServerOptions struct {
	Node       leaf.Node
	Limits     Limits
	Registerer prometheus.Registerer // May be nil.
}

// Server answers other nodes.
type Server struct {
	opts    ServerOptions
	metrics *metrics
}

// NewServer returns a Server.
func NewServer(opts ServerOptions) *Server {
	return &Server{opts: opts, metrics: newMetrics(opts.Registerer)}
}

// Handlers are those of all methods.
func (s *Server) Handlers() map[string]Handler {
	all := map[string]Handler{}
	for method, do := range map[string]do{
		methodSelect:    (*call).selects,
		methodPartial:   (*call).partial,
		methodNames:     (*call).names,
		methodValues:    (*call).values,
		methodExemplars: (*call).exemplars,
		methodMetadata:  (*call).metadata,
		methodChanges:   nil, // See answer.

		methodCardinality: (*call).cardinality,
	} {
		all[method] = func(ctx context.Context, c Conn) error { return s.serve(ctx, c, method, do) }
	}
	return all
}

// call is one request that is being answered.
type call struct {
	*request
	*sender
	*Admission
	node leaf.Node
	// sets are the matchers, compiled.
	sets [][]*labels.Matcher
}

// do answers but for the end, which counts the items it returns.
type do func(*call, context.Context) (items int, err error)

func (s *Server) serve(ctx context.Context, c Conn, method string, do do) error {
	begin := time.Now()
	kind, body, err := receive(c, maxRequest, nil)
	if err == nil && kind != kindRequest {
		err = malformed("of kind %d in place of a request", kind)
	}
	if err != nil {
		return err
	}
	out := &counted{Conn: c, bytes: s.metrics.sent}
	send := &sender{conn: out}
	var read leaf.Reading
	ctx = leaf.Observe(ctx, func(r leaf.Reading) { read = r })
	items, waited, err := s.answer(ctx, method, body, do, send)
	s.metrics.observe(method, err, begin)
	read.Waited = waited
	read.Worked += time.Since(begin) - waited - out.took
	switch {
	case send.broken != nil:
		return send.broken
	case err != nil:
		return send.send(kindFailure, appendFailure(nil, s.failure(err)))
	}
	return send.send(kindEnd, appendEnd(nil, items, read))
}

// failure is what is told of an error.
func (s *Server) failure(err error) leaf.Failure {
	var stale *leaf.Failure
	if errors.As(err, &stale) && stale.Stale {
		s.metrics.stale.Inc()
		return *stale
	}
	return s.opts.Limits.Failure(err)
}

// requestFactor is about what a byte of a request takes once it is decoded and compiled.
const requestFactor = 16

// answer answers but for the end, after it has waited for its turn.
func (s *Server) answer(ctx context.Context, method string, body []byte, do do, send *sender) (items int, waited time.Duration, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	if method == methodChanges {
		items, err = s.changes(ctx, body, send)
		return items, 0, err
	}
	begin := time.Now()
	admission, err := s.opts.Limits.Admit(ctx)
	if waited = time.Since(begin); err != nil {
		return 0, waited, err
	}
	defer admission.Close()
	c, err := s.admitted(method, body, send, admission)
	if err != nil {
		return 0, waited, err
	}
	items, err = do(c, leaf.At(ctx, c.epoch))
	return items, waited, err
}

// admitted decodes a request, within the limits.
func (s *Server) admitted(method string, body []byte, send *sender, admission *Admission) (*call, error) {
	if err := admission.Take(requestFactor * int64(len(body))); err != nil {
		return nil, err
	}
	req, err := decodeRequest(method, body)
	if err != nil {
		return nil, err
	}
	c := &call{request: req, sender: send, Admission: admission, node: s.opts.Node}
	for _, set := range req.sets {
		ms, err := admission.Matchers(set)
		if err != nil {
			return nil, err
		}
		c.sets = append(c.sets, ms)
	}
	if len(c.sets) == 1 {
		req.selector.Matchers = c.sets[0]
	}
	req.selector.Take = admission.Take
	return c, nil
}

func (c *call) selects(ctx context.Context) (items int, err error) {
	set, err := c.node.Select(ctx, c.selector)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := set.Close(); err == nil {
			err = closeErr
		}
	}()
	c.Worked()
	var rows rowsEncoder
	flush := func() error { return rows.send(c.sender) }
	for ; set.Next(); items++ {
		if err := rows.add(set.At(), flush); err != nil {
			return 0, err
		}
	}
	if err := set.Err(); err != nil {
		return 0, err
	}
	return items, flush()
}

// partial computes all of the answer before it sends the first of it.
func (c *call) partial(ctx context.Context) (items int, err error) {
	expr, err := eval.Decode(c.expr, c.selector.Matchers)
	if err != nil {
		return 0, err
	}
	params := eval.Params{Grid: c.grid, Lookback: c.lookback, PerStep: c.perStep}
	part, err := c.compute(ctx, expr, params)
	if err != nil {
		return 0, err
	}
	c.Worked()
	return c.sendPartial(part.Part)
}

func (c *call) sendPartial(part *eval.Part) (groups int, err error) {
	if err := c.sendBatch(appendStatistics(nil, part), nil); err != nil {
		return 0, err
	}
	for piece, n := range part.Set.Pieces(batchBytes) {
		if len(piece) > maxBody-batchBytes {
			return 0, eval.ErrFallback
		}
		if err := c.sendBatch(piece, nil); err != nil {
			return 0, err
		}
		groups += n
	}
	return groups, nil
}

func (c *call) compute(ctx context.Context, expr *eval.Expr, params eval.Params) (*leaf.Partial, error) {
	ctx, done := c.Compute(ctx, c.selector.Matchers, &params)
	defer done()
	c.selector.Take = params.Take
	part, err := c.node.Partial(ctx, c.selector, leaf.Request{Expr: expr, Params: params})
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return part, err
}

func (c *call) names(ctx context.Context) (int, error) {
	names, err := c.node.LabelNames(ctx, c.selector)
	return sendAnswer(c, names, err, &sortedStrings{})
}

func (c *call) values(ctx context.Context) (int, error) {
	values, err := c.node.LabelValues(ctx, c.name, c.selector)
	return sendAnswer(c, values, err, &sortedStrings{})
}

func (c *call) exemplars(ctx context.Context) (int, error) {
	found, err := c.node.Exemplars(ctx, c.selector, c.sets...)
	return sendAnswer(c, found, err, exemplars{})
}

func (c *call) metadata(ctx context.Context) (int, error) {
	found, err := c.node.Metadata(ctx)
	return sendAnswer(c, found, err, metadata{})
}

func (c *call) cardinality(ctx context.Context) (int, error) {
	found, err := c.node.Cardinality(ctx, c.selector)
	return sendAnswer(c, []*cardinality.Counts{found}, err, counts{})
}

func sendAnswer[T any](c *call, items []T, err error, code codec[T]) (int, error) {
	if err != nil {
		return 0, err
	}
	c.Worked()
	return len(items), sendList(c.sender, items, code)
}
