// Package querier answers PromQL: it takes an expression apart into selectors, reads each series
// once wherever it lies, and computes the answer: what packages eval and partial know over columns of
// samples, and all else with Prometheus' own engine. Both see series through the
// same plan, limits and merge, and a test holds their answers equal.
//
//	Engine.Instant, Engine.Range     text, times, limits of one query
//	  │  scan                        refuses text that would cost too much to parse
//	  │  gate                        so many queries run, so many wait, the rest is refused
//	  ▼
//	promql.Engine                    parses
//	  │  eval                        evaluates the parts it knows, over columns and on all cores
//	  ▼
//	promql.Engine                    evaluates the rest, if any; asks for series through Queryable
//	  │
//	  ▼
//	plan ─► fanout ─► leaf           which node reads which shards; ask them; read a node's part
//	            │  └─► wire ─► leaf  that is another node's
//	            ▼
//	          merge                  one set of series for promql (or of chunks, for remote read)
//
// An aggregation over series of other nodes is computed there: the same way leads from eval to
// plan, fanout and leaf, where eval computes the part of it that a node has the series for.
//
// # Limits
//
// A query can't take the node down. What bounds it, in the order in which it is met:
//
//   - its text: length, depth of the tree it parses to, size of its regular expressions. All are
//     found by one linear scan before the parser, which recurses, sees the text;
//   - its steps: points of a range query, and evaluation steps of its subqueries, computed from
//     the parsed expression before anything is evaluated;
//   - its turn: a bounded number of queries run and a bounded number wait;
//   - its series, bytes and samples while it runs. Bytes are taken from the query's account and
//     from the node's before they are held, and given back when the query ends. promql asks nobody,
//     so that what it will make of a series is taken with the series: the weight of its selector;
//   - the memory of the process. When it runs short, the query that holds most is ended;
//   - its time, queueing included. The context is looked at while selecting, merging and iterating.
//
// What other nodes ask of this one's store (Engine.Server) counts towards the same limits, but for its
// turn, which it waits for apart.
//
// An error that a limit causes is a LimitError; it names the limit and the key that sets it.
//
// All exported methods of Engine may be called concurrently.
package querier
