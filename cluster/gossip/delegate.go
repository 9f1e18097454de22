package gossip

import "github.com/hashicorp/memberlist"

// delegate is what memberlist calls. Most calls are made under its lock, so that nothing here may
// call it back.
type delegate struct{ p *Pool }

var (
	_ memberlist.Delegate         = delegate{}
	_ memberlist.EventDelegate    = delegate{}
	_ memberlist.AliveDelegate    = delegate{}
	_ memberlist.MergeDelegate    = delegate{}
	_ memberlist.ConflictDelegate = delegate{}
)

// NodeMeta returns what this node says of itself.
func (d delegate) NodeMeta(int) []byte { return d.p.encodedMetadata() }

// NotifyMsg takes in facts from a packet.
func (d delegate) NotifyMsg(b []byte) { d.p.takeFacts(b) }

// GetBroadcasts returns facts for a packet.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.p.queue.GetBroadcasts(overhead, limit)
}

// LocalState returns all facts.
func (d delegate) LocalState(bool) []byte { return d.p.encodeFacts() }

// MergeRemoteState takes in all facts of another node.
func (d delegate) MergeRemoteState(b []byte, _ bool) { d.p.takeFacts(b) }

// NotifyAlive refuses what is no member.
func (d delegate) NotifyAlive(n *memberlist.Node) error { return d.p.admit(n) }

// NotifyJoin takes in a node that lives.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.p.setMember(n, false) }

// NotifyUpdate takes in what a node says anew of itself.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.p.setMember(n, false) }

// NotifyLeave takes in that a node has left or died.
func (d delegate) NotifyLeave(n *memberlist.Node) { d.p.setMember(n, true) }

// NotifyMerge looks whether a node that was asked to let this one join knows it at another address.
// It never refuses: whether that is another node or this one's past is found out afterwards.
func (d delegate) NotifyMerge(nodes []*memberlist.Node) error {
	for _, n := range nodes {
		if n.State == memberlist.StateAlive || n.State == memberlist.StateSuspect {
			d.p.noteRival(n)
		}
	}
	return nil
}

// NotifyConflict takes in that a node is announced at another address than where it is alive.
func (d delegate) NotifyConflict(_, other *memberlist.Node) {
	d.p.metrics.conflicts.Inc()
	d.p.noteRival(other)
}
