// Package leaf is the receiving end of a query: it runs a node's part over the node's storage.
//
// It gives out series, or what an aggregation comes to over them. Leaf is a Node over a Store, so that
// whoever asks can't tell whether the storage answers by itself or through others. It makes the storage's work end with the context of the query, also
// where the storage only ever asks whether it may hold more bytes. Another node is a Node as well:
// see package wire.
package leaf
