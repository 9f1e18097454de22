// Package explain says how a query was answered: what its expression was evaluated by, who read which
// shards for it, and what that cost them. All of it is of a query that ran: nothing is estimated.
//
//	sum(rate(requests_total[5m])) / scalar(sort(up)) at 2026-01-02T03:00:00Z
//	asked of a, which took 2.31ms, of these 4µs waiting for its turn
//
//	engine  sum(rate(requests_total[5m])) / scalar(sort(up))
//	nodes     sum(rate(requests_total[5m]))                   read 1, 1.69ms
//	engine    scalar(sort(up))
//	engine      sort(up)
//	engine        up                                          read 2
//
//	read 1: partial results of {__name__="requests_total"} from 2026-01-02T02:55:00.001Z to 2026-01-02T03:00:00Z at epoch 7
//	  a             shards 0-7 of 16
//	    a           answered after 598µs: 20 series, 400 samples, 1.08 KiB read, 0 B sent; waited 0s, worked 598µs
//	  b             shards 8-15 of 16
//	    b           failed after 63µs: connection refused
//	    c, instead  answered after 1.4ms: 21 series, 420 samples, 1.13 KiB read, 87 B sent; waited 4µs, worked 292µs
//	...
//	node  zone  asked  hedges  instead  failed  series  samples  read      sent   took    waited  worked
//	a           2      0       0        0       41      440      1.66 KiB  0 B    1.17ms  0s      864µs
//	...
//
// An expression is evaluated by Prometheus' engine, by columns (over all of its series, on the node that
// was asked) or by nodes (the same, of its part by each node). A read is a plan that was carried out: under each
// part stand the nodes that were asked for it. The sums are over all reads.
//
// A Trace collects this while a query runs. It hangs in the context: Trace.Read gives one for a plan
// to be carried out, and package fanout says there whom it asks and what comes of it. What a node did it says
// itself, see leaf.Reading. Without a trace all of this is a look into the context.
//
// An explanation lists a bounded number of reads and of questions; of what is beyond only the sums are kept.
//
// Traces and what they give out may be used concurrently, and may be nil.
package explain
