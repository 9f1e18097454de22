package gossip

import "errors"

// ErrSameIdentity is what Run returns, wrapped, on the second of two nodes with one identity.
var ErrSameIdentity = errors.New("another node has this node's identity")
