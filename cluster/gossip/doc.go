// Package gossip is an adapter of memberlist.
package gossip
