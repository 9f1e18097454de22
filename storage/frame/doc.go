// Package frame encodes and decodes frames: a batch of samples for one node, addressed by short
// series references. One layout serves the wire, the WAL and the outbox.
//
// A Frame in memory is columns, not rows: the writer fills them in one loop, the head reads them
// in one loop, and on disk and wire like bytes lie together, so that they compress even when the
// references come in random order.
package frame
