// Package explain says how a query was answered: what its expression was evaluated by, who read which
// shards for it, and what that cost them. All of it is of a query that ran: nothing is estimated.
//
//	sum(rate(requests_total[5m])) / scalar(sort(up)) at 2026-01-02T03:00:00Z, asked of a
//	12.4ms, of which 0s waiting for its turn
//
//	engine   sum(rate(requests_total[5m])) / scalar(sort(up))
//	nodes      sum(rate(requests_total[5m]))                    read 1, 4.1ms
//	engine     scalar(sort(up))
//	engine       sort(up)
//	engine         up                                           read 2
//
//	read 1: partial results of {__name__="requests_total"} from ... to ... at epoch 7
//	  node a: shards 0-7 of 16
//	    a                answered in 1ms     120 series, 2400 samples, 4.1 KiB
//	  node b: shards 8-15 of 16
//	    b                failed in 0.2ms     connection refused
//	    c, instead       answered in 2ms     121 series, 2420 samples, 4.2 KiB; 613 B sent
//
//	node    asked  hedges  retries  failed  series  samples  read     sent   waited  worked
//	a *     2      0       0        0       ...
//
// An expression is evaluated by Prometheus' engine, by columns (over all of its series, on the node that
// was asked) or by nodes (the same, but for the part of each where its series are).
//
// A Trace collects this while a query runs. It hangs in the context: Trace.Read gives one for a
// plan to be carried out, and fanout says there whom it asks and what comes of it. Whoever runs
// without one pays for a look into the context. What a node did it says itself, see leaf.Reading.
//
// A Trace has a bound: of more reads or questions than maxReads and maxAsks only the sums are kept.
//
// Trace, Read, Attempt and Ask may be used concurrently, and may be nil.
package explain
