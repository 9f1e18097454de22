package node

import (
	"github.com/barograph-db/barograph/cluster"
	"github.com/barograph-db/barograph/cluster/trust"
)

// openTrust reads the certificates and keys by which the nodes of a cluster know each other.
func (n *Node) openTrust() (err error) {
	if n.cfg.Cluster.Name == "" {
		return nil
	}
	o := n.cfg.Cluster.trust()
	o.Logger, o.Registerer = n.logger, n.registry
	if n.trust, err = trust.Open(o); err != nil {
		return err
	}
	if gossip := o.GossipKeyFile != ""; gossip != n.trust.TLS() {
		n.logger.Warn("Only one of the ways in which nodes meet is secured: give --cluster.tls-cert-file and --cluster.gossip-key-file, or neither",
			"tls", n.trust.TLS(), "gossip", gossip)
	}
	return nil
}

// secure gives a cluster the keys that a reload brings, and has brought in the meantime.
func (n *Node) secure(c *cluster.Cluster) error {
	n.reload.Lock()
	defer n.reload.Unlock()
	n.cluster.Store(c)
	return c.ReloadKeys()
}

// reloadTrust reads them again. After an error those from before stay in force.
func (n *Node) reloadTrust() error {
	if n.trust == nil {
		return nil
	}
	if err := n.trust.Reload(); err != nil {
		return err
	}
	if c := n.cluster.Load(); c != nil {
		return c.ReloadKeys()
	}
	return nil
}
