// Package dedup stores one of several senders of the same series: of an HA pair of Prometheus servers,
// which scrape the same targets and differ in one label only, one replica is elected, and what the
// others send is left out. When the elected one falls silent, another takes over, at a gap, so that no
// series goes back in time and rate() sees no reset that there was not.
//
//	{cluster="eu", __replica__="a", ...}   the cluster names the pair; the replica label is taken off,
//	{cluster="eu", __replica__="b", ...}   so that both name one series
//
// # Per series, without reading the labels of known ones
//
// The ingest.Writer finds a series by a hash of its raw labels, the replica label among them, and
// knows it without reading them. Its cache therefore also knows the series' origin: a number for the
// pair and the replica. A request costs one judgement for each origin in it, which is one for nearly all of
// them, and requests that mix pairs and replicas are told apart series by series. Series without
// both labels have no origin and pass as they are. Series of a replica that is not elected are cached
// without having been made: what is never stored takes no place in the head.
//
// # Terms
//
// What is agreed upon for a pair is a term: who is elected, when it was last heard, and after which
// time its samples are taken.
//
//	      samples of a ──┐ last one
//	heard ───────────────┤·········· failover ··········┐ b is heard and elected
//	                     │                              │
//	                     ├─ update + slack ─┤ after      └─ samples of b, those later than after
//
// A term is over when the elected replica was not heard for Failover, by the clock of the node, not
// by timestamps. Then whoever is heard next proposes itself, the elected one no less than the others,
// and names the term that it has seen: of two proposals one finds another term in force and learns
// who was elected. While a term lasts every node decides by itself: samples of the elected one are
// taken, others are not.
//
// Nodes tell each other (in one command for all pairs, at most two a second) when an elected replica
// was heard, once that is Update later than what is agreed. So a node may not know of samples that
// others took up to Update and a little (slack: a proposal, its way, a file) after the last agreed
// hearing. The term of another replica takes only samples later than that, and than any that the
// proposer has seen: no sample is doubled, none goes back. A replica elected anew keeps its bound: if it was
// merely cut off, what it sends late leaves no gap. Timestamps ahead of the clock count up to Failover
// ahead only, so that one wrong clock does not lock a pair.
//
// What is lost at a failover are the samples of the others between the last one taken and the bound or
// the first one sent after Failover: a gap of Failover and an interval at most. To close it, nodes would have to
// keep what standbys send for that long, for every pair, for a moment that rarely comes.
//
// # Where terms live
//
// Table is a state machine of commands: consensus.State of a cluster, where all nodes apply the same
// commands in the same order; File keeps it on a node by itself, so that the first replica heard
// after a restart does not step on what the other had stored. An election is on disk before the
// samples it lets in.
//
// Without a quorum changes wait. The elected replica goes on being taken, also after a silence. A
// replica that would be elected now is answered 503: its sender keeps the samples and sends them when there is
// a quorum again, so that nothing is lost. What was heard meanwhile is proposed until it is agreed on, and
// is so within two seconds of the quorum's return; a replica elected in these two seconds, by a node that
// did not hear the elected one for Failover while another did, may double what the other took.
//
// # Answers
//
// Samples that are left out are answered with success: they are stored, from the elected replica. The
// counts that remote write 2.0 answers with include them, since Prometheus takes an answer that counts
// nothing as a failure. They are counted in ingest.Result apart from what was written.
//
// # Who may call what
//
// All methods may be called by any goroutine. Locks: Elections.mu, then Table.mu; File.mu, then
// Table.mu. None is held while a proposal is under way, but for File.mu.
package dedup
