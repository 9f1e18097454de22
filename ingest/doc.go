// Package ingest turns decoded write requests into frames of the store. It holds the words of the
// write path (Batch, Run, Key, Result, Reason), the Appender that every stage of it is, and the
// Writer at its end. The ways in (remotewrite, textimport) and the stages between (limit) are
// packages of their own.
//
// # The way of a request
//
//	body ─► decoder ─► Batch ─► Appender... ─► Writer ─► frame.Frame ─► Store
//
// A decoder reads the whole request first. It does no label work: for each run of samples of one
// series it hashes the raw label bytes, as they lie in the body, into a Key. The Writer then looks
// up all keys in one loop, which is what hides the latency of memory: a look-up costs a tenth of
// what it costs one at a time. A known key gives the series' reference at once. Only for an unknown
// one does the Writer ask the decoder for the labels, check and sort them, and ask the Store.
//
// # Keys
//
// A Key is a hash of 128 bits under secrets drawn when the process starts; 96 bits of it are kept
// and compared. Two raw forms of one label set (another order, an empty label) have two keys and
// one reference. Each wire format hashes under secrets of its own, so that bytes of one can't
// stand for a series of another. A key never leaves the process.
//
// # What a result promises
//
// An error of Append is about the whole batch, which may be sent again: samples are idempotent.
// Without an error every sample is either written and counted, or refused and counted under a
// Reason. Reasons have stable ids and one table says their HTTP status: a fault that passes is
// never a 4xx other than 429, a refusal that lasts is never a 5xx.
//
// All types but Batch and Rejections may be used concurrently.
package ingest
