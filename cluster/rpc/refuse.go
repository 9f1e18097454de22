package rpc

import (
	"fmt"

	"github.com/barograph-db/barograph/cluster/placement"
)

// refusal is why a connection is not wanted. The numbers cross the wire.
type refusal byte

const (
	welcome        refusal = iota
	refusedVersion         // no common version
	refusedCluster         // of another cluster
	refusedSelf            // the two have one ID
	refusedOther           // another node was looked for
	refusedKind            // nobody takes such a connection
	refusedLimit           // too many connections
	refusedTLS             // one side secures connections, or does not trust the other
	numRefusals
)

var refusalNames = [numRefusals]string{"", "version", "cluster", "self", "other", "kind", "limit", "tls"}

// String names the refusal in metrics.
func (r refusal) String() string {
	if r < numRefusals {
		return refusalNames[r]
	}
	return "unknown"
}

// code is that of the error which the caller sees. What an operator must change is Refused, but for
// certificates, which nodes may be given one after the other.
func (r refusal) code() Code {
	if r == refusedLimit || r == refusedTLS {
		return Unavailable
	}
	return Refused
}

// judgeHello decides whether self wants to talk to who says hello, and if not, says why to it.
func judgeHello(self *Identity, own Versions, h *hello) (refusal, string) {
	switch {
	case own.Common(h.speaks) == 0:
		return refusedVersion, fmt.Sprintf("it speaks %s of the protocol (software %s), and the caller %s: upgrade the older one first to a release that speaks both",
			own, self.Software, h.speaks)
	case h.from.Cluster != self.Cluster:
		return refusedCluster, fmt.Sprintf("it is of cluster %q, and not of %q", self.Cluster, h.from.Cluster)
	case h.from.Node == self.Node:
		return refusedSelf, fmt.Sprintf("it has the caller's own ID %s: it is the same node, or one of two with a copy of one data directory", self.Node)
	case h.from.Node == placement.NodeID{}:
		return refusedOther, "the caller has no ID"
	case h.to != self.Node:
		return refusedOther, fmt.Sprintf("it is node %s, and not %s", self, h.to)
	}
	return welcome, ""
}

// judgeAnswer decides the same on the other side, of a node that welcomes self.
func judgeAnswer(self *Identity, to placement.NodeID, a *answer) (refusal, string) {
	switch {
	case a.from.Cluster != self.Cluster:
		return refusedCluster, fmt.Sprintf("it is of cluster %q, and not of %q", a.from.Cluster, self.Cluster)
	case a.from.Node == self.Node:
		return refusedSelf, fmt.Sprintf("it has this node's own ID %s", self.Node)
	case a.from.Node != to:
		return refusedOther, fmt.Sprintf("it is node %s, and not %s", a.from, to)
	}
	return welcome, ""
}
