// Package ruler evaluates recording and alerting rules on time, wherever nodes die, and has
// Alertmanagers told. What is to be evaluated, what has been, and what each alert's state is, all
// nodes agree upon (package ledger); the rest can be lost at any moment.
//
//	rule files, rule API ──► ledger: groups             who evaluates what: assignments
//	                            │                                    ▲
//	                            │ this node's groups                 │ the leader: assign.Next
//	                            ▼                                    │
//	     for each timestamp:  Query ─► samples ─► Append      members, measured costs
//	                            │
//	                            └─► alert.Step ─► changes ─► Propose ─► committed ─► notify
//
// # Timestamps
//
// A group is evaluated at k × interval + offset, where the offset is a hash of its name, so that groups
// are spread over the interval and each node comes to the same times. So an evaluation that is done
// again, by another node, writes the very same samples.
//
// # Never missed
//
// The ledger says up to which timestamp a group has been evaluated. Its owner goes on from there: what
// a node left behind when it died is evaluated by the next owner, however late (Options.CatchUp bounds
// it). A group that is slower than its interval skips what passed meanwhile, counted, and delays no
// other.
//
// # Never twice, never false
//
// A change of an alert's state is agreed upon first and acted on then. Each assignment of a group has a
// number, and what its owner proposes carries it: the ledger refuses what a former owner still has in
// hand, so that its alerts are not sent. A new owner sends what fires, or was resolved lately, once more,
// since the one before may have died between agreeing and sending: Alertmanager takes it for the same.
//
// An evaluation that failed, for a query that could not be complete too, changes nothing.
//
// # After an outage
//
// When no node evaluated for a while, the samples of that time are missing too, or still on their way.
// An alert whose series is not there then stays as it is until Options.Grace after the return: it is
// neither resolved nor set back. Recording rules are evaluated for the time meanwhile.
package ruler
