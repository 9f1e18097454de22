// Package trust holds what the nodes of a cluster know each other by: a certificate and the authority
// that signed those of all nodes, for connections, and keys, for gossip. Each is optional.
//
//	cert, key, ca files ──┐            ┌── ServerTLS, ClientTLS: each new connection of package rpc
//	                      ├─> material ┤
//	gossip key file ──────┘            └── GossipKeys: package gossip
//
// The files are read by Open and Reload. What they hold is checked as a whole, and put in force as a
// whole or not at all: a Reload that finds an error leaves everything as it was. What is in force at
// the moment counts for each new connection; those that stand are not touched.
//
// # Who is trusted
//
// A connection is made if both sides have a certificate that the authority signed, that is valid now,
// and that may be used by the side that shows it (extended key usage client and server, or none
// named). Addresses are not looked at: nodes may change theirs, and are found by gossip. With a
// server name, the certificates of both sides must have been issued for it besides, so that an
// authority of many other things can be used. Which node it is that has connected, it says itself in
// the handshake of package rpc: nodes of a cluster trust each other.
//
// # Keys of gossip
//
// One key stands on each line, 16, 24 or 32 bytes in base64; empty lines and those that begin with #
// are passed over. The first encrypts, all decrypt. A key is changed in three steps, each on all nodes
// before the next: add the new one, put it first, take the old one out.
//
// All methods may be called concurrently.
package trust
