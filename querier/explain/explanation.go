package explain

import "time"

// Explanation of one query.
type Explanation struct {
	Query string `json:"query"`
	// Node is the one that was asked.
	Node  string `json:"node"`
	Start Time   `json:"start"`
	End   Time   `json:"end"`
	// Step is 0 for an instant query.
	Step Seconds `json:"step"`
	// Took is all of it, Waited the time before its turn.
	Took   Seconds `json:"took"`
	Waited Seconds `json:"waited"`
	// Tree is the expression, by what it was evaluated.
	Tree *Expr `json:"tree"`
	// Reads are numbered from 1 in the order in which they began.
	Reads []*Read `json:"reads"`
	// MoreReads and MoreAsks are how many are left out above. Nodes has them.
	MoreReads int `json:"moreReads,omitempty"`
	MoreAsks  int `json:"moreAsks,omitempty"`
	// Nodes has the sums for each node, the one that was asked first.
	Nodes []*Node `json:"nodes"`
}

// By is what evaluates an expression.
type By string

// What evaluates expressions.
const (
	Engine  By = "engine"  // Prometheus' engine
	Columns By = "columns" // package eval, over all series
	Nodes   By = "nodes"   // package eval, the part of each node there
)

// Expr is an expression and what it was evaluated by. What is in it is left out if it is evaluated
// together with it.
type Expr struct {
	Text string `json:"expr"`
	By   By     `json:"by"`
	// Left says that columns were tried, and that what was read can only be evaluated by the engine.
	Left bool `json:"left,omitempty"`
	// Took is the time that columns and nodes took for it, reading included.
	Took Seconds `json:"took,omitempty"`
	// Reads are the numbers of what was read for it.
	Reads []int   `json:"reads,omitempty"`
	Inner []*Expr `json:"inner,omitempty"`
}

// What is read.
const (
	Series   = "series"
	Partials = "partial results"
)

// Read is a plan that was carried out.
type Read struct {
	trace *Trace

	Number   int    `json:"number"`
	What     string `json:"what"`
	Selector string `json:"selector"`
	Start    Time   `json:"start"`
	End      Time   `json:"end"`
	Epoch    uint64 `json:"epoch"`
	// Unused says that partial results could not be put together, and Error why it failed.
	Unused  bool      `json:"unused,omitempty"`
	Error   string    `json:"error,omitempty"`
	Parts   []*Part   `json:"parts"`
	Missing []Missing `json:"missing,omitempty"`
}

// Part is what one node was to read.
type Part struct {
	Node   string `json:"node"`
	Shards string `json:"shards"`
	Start  Time   `json:"start"`
	End    Time   `json:"end"`
	// Merged says that others read the same, and only together may have every sample.
	Merged bool   `json:"merged,omitempty"`
	Asks   []*Ask `json:"asks"`
}

// Missing is what the answer lacks.
type Missing struct {
	Shards string `json:"shards"`
	Start  Time   `json:"start"`
	End    Time   `json:"end"`
	Why    string `json:"why"`
}

// Kind is why a node is asked.
type Kind string

// Why nodes are asked.
const (
	Planned Kind = "planned" // the plan says so
	Hedge   Kind = "hedge"   // beside one that said nothing for long
	Instead Kind = "instead" // in place of one that failed
)

// The results of asking.
const (
	Answered  = "answered"
	Failed    = "failed"
	Discarded = "discarded" // another was first, or the query had no use for it
)

// Ask is a question to a node. All or some of a part are asked for.
type Ask struct {
	attempt *Attempt
	node    *Node
	begun   time.Time
	local   bool // It is of the node that is asking.

	Node   string  `json:"node"`
	Shards string  `json:"shards"`
	Start  Time    `json:"start"`
	End    Time    `json:"end"`
	Kind   Kind    `json:"kind"`
	Result string  `json:"result"`
	Error  string  `json:"error,omitempty"`
	First  Seconds `json:"first"` // until there was something of an answer
	Took   Seconds `json:"took"`  // until its end: longer if it was waited for
	Work
}

// Work is what nodes did, as they say. Of an answer that was not read to its end they say nothing.
type Work struct {
	Series  int64 `json:"series"`
	Samples int64 `json:"samples"`
	// Read is bytes of chunks, Sent bytes that came over the network.
	Read int64 `json:"bytesRead"`
	Sent int64 `json:"bytesSent"`
	// Waited is the time before the node's turn, Worked the time of all its workers together.
	Waited Seconds `json:"waited"`
	Worked Seconds `json:"worked"`
}

// Node is the sum of what was asked of one.
type Node struct {
	Name    string `json:"node"`
	ID      string `json:"id"`
	Zone    string `json:"zone,omitempty"`
	Asked   int    `json:"asked"`
	Hedges  int    `json:"hedges"`
	Instead int    `json:"instead"`
	Failed  int    `json:"failed"`
	// Took adds up what questions took, many of which go on at the same time.
	Took Seconds `json:"took"`
	Work
}

func (w *Work) add(o Work) {
	w.Series += o.Series
	w.Samples += o.Samples
	w.Read += o.Read
	w.Sent += o.Sent
	w.Waited += o.Waited
	w.Worked += o.Worked
}
