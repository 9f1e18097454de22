package explain

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/plan"
)

const (
	// maxReads and maxAsks are how many of them an explanation lists; the parts of a plan count as asks.
	maxReads = 256
	maxAsks  = 4096
	// maxText is how much is shown of an expression, a selector or an error.
	maxText = 1024
)

// Trace collects what becomes of a query.
type Trace struct {
	begun time.Time

	mu struct {
		sync.Mutex
		x     *Explanation // nil once it is finished
		asks  int
		self  plan.Node
		nodes map[plan.Node]*Node
		// By what is in the query's tree, which promql knows by the same pointers.
		exprs     map[parser.Expr]*Expr
		selectors map[*labels.Matcher]*Expr
	}
}

// New returns the trace of a query that begins now.
func New() *Trace {
	t := &Trace{begun: time.Now()}
	t.mu.x = &Explanation{Reads: []*Read{}, Nodes: []*Node{}}
	t.mu.nodes = map[plan.Node]*Node{}
	t.mu.exprs, t.mu.selectors = map[parser.Expr]*Expr{}, map[*labels.Matcher]*Expr{}
	return t
}

// change runs do if there is a trace that has not been finished.
func (t *Trace) change(do func(*Explanation)) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.x != nil {
		do(t.mu.x)
	}
}

// Begin says that the query's turn has come, which node is asked, and what is going to be evaluated.
func (t *Trace) Begin(query string, self plan.Node, stmt *parser.EvalStmt, waited time.Duration) {
	t.change(func(x *Explanation) {
		x.Query = query
		x.Node, t.mu.self = self.String(), self
		x.Waited = Seconds(waited)
		x.Start, x.End, x.Step = Time(stmt.Start.UnixMilli()), Time(stmt.End.UnixMilli()), Seconds(stmt.Interval)
		x.Tree = t.grow(stmt.Expr)
	})
}

// Evaluated says by what an expression of the query was evaluated, and how long that took; with left, that
// it was tried in vain.
func (t *Trace) Evaluated(e parser.Expr, by By, left bool, took time.Duration) {
	t.change(func(*Explanation) {
		switch x := t.mu.exprs[e]; {
		case x == nil:
		case left:
			x.Left = true
		default:
			x.By, x.Took = cmp.Or(x.By, by), Seconds(took)
		}
	})
}

// Read says that a plan is going to be carried out, in the context that it returns.
func (t *Trace) Read(ctx context.Context, p plan.Plan, what string) (context.Context, *Read) {
	var r *Read
	t.change(func(x *Explanation) {
		r = &Read{
			trace: t, What: what, Selector: clip(plan.Selector(p.Matchers)), Number: len(x.Reads) + x.MoreReads + 1,
			Start: Time(p.Mint), End: Time(p.Maxt), Epoch: p.Epoch, Parts: []*Part{},
		}
		if t.mu.asks += len(p.Parts); len(x.Reads) >= maxReads || t.mu.asks > maxAsks {
			x.MoreReads++
			return
		}
		x.Reads = append(x.Reads, r)
		for _, part := range p.Ordered() {
			r.Parts = append(r.Parts, &Part{
				Node: part.Node.String(), Shards: plan.Shards(part.Shards), Start: Time(part.Mint), End: Time(part.Maxt),
				Merged: part.Merged, Asks: []*Ask{},
			})
		}
		if len(p.Matchers) > 0 && t.mu.selectors[p.Matchers[0]] != nil {
			at := t.mu.selectors[p.Matchers[0]]
			at.Reads = append(at.Reads, r.Number)
		}
	})
	if r == nil {
		return ctx, nil
	}
	return context.WithValue(ctx, readKey{}, r), r
}

type readKey struct{}

// ReadOf returns what is being carried out, nil if nobody wants to know.
func ReadOf(ctx context.Context) *Read {
	r, _ := ctx.Value(readKey{}).(*Read)
	return r
}

// Settle says what came of it. Unused results are none.
func (r *Read) Settle(unused bool, err error) {
	r.change(func(*Explanation) {
		if r.Unused = unused; err != nil {
			r.Error = clip(err.Error())
		}
	})
}

// Lacks says what the answer is going to lack.
func (r *Read) Lacks(missing []plan.Missing) {
	r.change(func(*Explanation) {
		for _, m := range missing {
			r.Missing = append(r.Missing, Missing{
				Shards: plan.Shards(m.Shards), Start: Time(m.Mint), End: Time(m.Maxt), Why: clip(m.Why),
			})
		}
	})
}

func (r *Read) change(do func(*Explanation)) {
	if r != nil {
		r.trace.change(do)
	}
}

// Attempt is at a part: nodes are asked, which together have the answer.
type Attempt struct {
	read *Read
	part *Part // nil if it is not listed
	kind Kind
	asks []*Ask
}

// Attempt begins one at a part of the plan.
func (r *Read) Attempt(part plan.Part, k Kind) *Attempt {
	if r == nil {
		return nil
	}
	a := &Attempt{read: r, kind: k}
	for _, p := range r.Parts { // They are listed before anybody is asked.
		if p.Node == part.Node.String() && p.Start == Time(part.Mint) && p.End == Time(part.Maxt) && p.Merged == part.Merged {
			a.part = p
		}
	}
	return a
}

// Taken says that the answers are those that count.
func (a *Attempt) Taken() {
	if a == nil {
		return
	}
	a.read.change(func(*Explanation) {
		for _, k := range a.asks {
			k.Result = Answered
		}
	})
}

// Ask begins a question to a node.
func (a *Attempt) Ask(part plan.Part) *Ask {
	if a == nil {
		return nil
	}
	var k *Ask
	t := a.read.trace
	t.change(func(x *Explanation) {
		k = &Ask{
			attempt: a, node: t.node(part.Node), begun: time.Now(), local: part.Node == t.mu.self,
			Node: part.Node.String(), Shards: plan.Shards(part.Shards), Start: Time(part.Mint), End: Time(part.Maxt),
			Kind: a.kind, Result: Discarded,
		}
		k.node.Asked++
		switch k.Kind {
		case Hedge:
			k.node.Hedges++
		case Instead:
			k.node.Instead++
		case Planned:
		}
		a.asks = append(a.asks, k)
		if a.part == nil {
			x.MoreAsks++
			return
		}
		if k.Kind != Planned { // Those were counted with the plan.
			t.mu.asks++
		}
		if t.mu.asks > maxAsks {
			x.MoreAsks++
			return
		}
		a.part.Asks = append(a.part.Asks, k)
	})
	return k
}

func (t *Trace) node(n plan.Node) *Node {
	known := t.mu.nodes[n]
	if known == nil {
		known = &Node{Name: n.String(), ID: n.ID.String(), Zone: n.Zone}
		t.mu.nodes[n] = known
	}
	return known
}

type askKey struct{}

// Into returns the context in which the node is asked.
func (k *Ask) Into(ctx context.Context) context.Context {
	if k == nil {
		return ctx
	}
	return leaf.Observe(context.WithValue(ctx, askKey{}, k), k.saw)
}

// Answered says that the node has answered, or that a set of series has begun.
func (k *Ask) Answered(err error) {
	k.change(func() {
		k.First = k.ended()
		k.failed(err)
		if err == nil && k.local {
			k.add(Work{Worked: k.First})
		}
	})
}

// failed takes an error. That nobody wants an answer any more is none.
func (k *Ask) failed(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		k.Result, k.Error = Failed, clip(err.Error())
		k.node.Failed++
	}
}

// saw takes what the node says of itself.
func (k *Ask) saw(r leaf.Reading) {
	k.change(func() {
		k.ended()
		k.add(Work{
			Series: r.Series, Samples: r.Samples, Read: r.Bytes, Sent: r.Received,
			Waited: Seconds(r.Waited), Worked: Seconds(r.Worked),
		})
	})
}

func (k *Ask) change(do func()) {
	if k != nil {
		k.attempt.read.change(func(*Explanation) { do() })
	}
}

func (k *Ask) add(w Work) {
	k.Work.add(w)
	k.node.Work.add(w)
}

// ended says that there may be no more of the answer.
func (k *Ask) ended() Seconds {
	took := Seconds(time.Since(k.begun))
	k.node.Took += took - k.Took
	k.Took = took
	return took
}

// Finish ends the trace and returns what it has.
func (t *Trace) Finish() *Explanation {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.mu.x
	t.mu.x = nil
	for _, r := range x.Reads {
		for _, p := range r.Parts {
			for _, k := range p.Asks {
				if k.Took == 0 { // Nobody has waited for it.
					k.ended()
				}
			}
		}
	}
	x.Took = Seconds(time.Since(t.begun))
	for _, n := range t.mu.nodes {
		x.Nodes = append(x.Nodes, n)
	}
	slices.SortFunc(x.Nodes, func(a, b *Node) int {
		switch self := t.mu.self.ID.String(); {
		case a.ID == b.ID:
			return 0
		case a.ID == self:
			return -1
		case b.ID == self:
			return 1
		}
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	if x.Tree != nil {
		x.Tree.settle(Engine)
	}
	return x
}

func clip(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "") + "..."
	}
	return text
}
