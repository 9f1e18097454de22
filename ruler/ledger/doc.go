// Package ledger is what all nodes agree upon about rules: which groups there are, who evaluates each,
// up to when each has been evaluated, and the alerts. It is a state of package consensus, which has
// every node apply the same commands in the same order; it is pure.
//
//	files    a node's rule files        replaces all groups that came from files
//	set      the rule API               puts one group in, or takes groups out
//	assign   the leader                 gives groups to nodes, under the next lease number
//	carry    a node that was by itself  brings a group along, with all that is known of it
//	evaluated the groups' owners        a timestamp is done: reports, and the alerts that changed
//
// # Leases
//
// Each assign has the number after the last one's, or is refused: of two that think they lead, one is
// heard. A group carries the number under which its owner got it. What is proposed of an evaluation
// names it, and is refused when the group has another owner by now, another text, or is further on
// already. So nobody has to look at a clock to know whether he is still the one.
//
// # Files
//
// Nodes are given rule files one by one, and those that start again have what they had before. A node
// therefore proposes its files only when they are others than it proposed last, which the ledger
// remembers by a digest; the files that changed last are in force. All nodes should be given the same.
//
// # Identity
//
// A group whose text stays the same keeps everything. One whose text changes keeps its timestamp, and the
// alerts of those rules that are in the next evaluation of it.
//
// # Limits
//
// The groups and alerts together have at most MaxBytes, by what Group.size counts; what would go beyond is
// refused and says so. Texts of errors are cut.
//
// # Encoding
//
// Commands, results and snapshots are JSON with a version; docs/formats/ledger.md shows them. Numbers
// that are no JSON, as NaN, are strings.
//
// All methods may be called by any goroutine. What a View shows is never changed.
package ledger
