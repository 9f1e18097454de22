// Package series holds the words for data: label bytes, fingerprint, shard, reference, sample
// and the selector that asks for them. Every other storage package speaks in these; this one
// imports nothing of ours.
//
// # Label bytes
//
// A series is named by its label set. Labels is that set in one canonical byte form, from which
// the fingerprint is taken and which every format on disk and wire carries:
//
//	repeat, sorted by name (bytewise), names unique, no empty value:
//	  uvarint len(name)  | name bytes
//	  uvarint len(value) | value bytes
//
// # Fingerprint and shard
//
// A fingerprint is xxHash64 (seed 0) of the canonical label bytes. It is stable for ever, since
// it decides placement: a shard is the fingerprint's highest bits, so the order of fingerprints
// is an order by shard as well, and every stage of a query (head, part, replica, region) hands
// its series on in the order (fingerprint, label bytes). Two label sets may share a fingerprint;
// whoever joins series compares the label bytes too.
//
// # Two samples for one timestamp
//
// Replays, replicas and senders may bring two samples for one series and timestamp. Resolve picks
// the same one of them everywhere, whatever the order they came in, so that replicas converge.
package series
