// Package gather puts frames that come at about the same time into one: what arrives while the store is at
// work on a batch is the next batch.
//
//	stream of b ──Add──┐
//	stream of c ──Add──┼─► batch that gathers          batch at work ──► Store.Append ──► done, done, done
//	own writes ─Append─┘          └──────── taken when that one is done ────────┘
//
// A node of a cluster gets a write in as many small frames as there are nodes, and each costs the log a
// record with its codes, each page of the head a lock, and those who wait a change of goroutine. Put
// together they cost what one frame does.
//
// # Waiting
//
// A batch waits until it has as many frames as lately were unanswered at once, and no longer than 5 ms; then
// as few as it has are expected from there on. So senders who each wait for an answer share batches, and a
// lone one is never held up. This is how the log gathers records for a sync (package storage/wal), which
// has one appender now and waits no more. Without waiting, 12 connections to three nodes have 4 frames in a
// batch in place of 7, and twice the syncs.
//
// # Order
//
// Frames are appended in the order of Add, one batch after the other. A large frame that is handed to Append
// is worth a batch of its own: it goes to the store by itself, at the same time as others.
//
// # Limits
//
// The batch that gathers is bounded; beyond it Add waits until it is taken.
//
// All methods may be called concurrently.
package gather
