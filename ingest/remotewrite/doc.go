// Package remotewrite serves Prometheus remote write, 1.0 and 2.0.
//
// The decoder is written by hand for the two messages. It reads the decompressed body once, front
// to back, copies nothing but histograms, exemplars and metadata, and allocates nothing per series
// or sample:
//
//	1.0  WriteRequest.timeseries.labels lie next to each other in the body. The bytes from the first
//	     label's tag to the last one's end are hashed as they are. Where a sender has put something
//	     between them, they are gathered first, which gives the same hash.
//	2.0  Each symbol is hashed once per request, and a series mixes the hashes that its references
//	     name. A reference out of range, or without its pair, refuses that series.
//
// Unknown fields are skipped; groups, wrong wire types, and lengths that leave their message refuse
// the request. The messages do not nest without bound, so neither does the decoder. The memory it
// takes counts as in flight and ends, like the body, at the limit of decoded bytes.
//
// # Answers
//
// 204 when all is stored. 400 when something is refused for good, with one line per reason; the
// rest is stored all the same. 429 and 503, with Retry-After, when it is worth coming back. 413
// and 415 for bodies that are too large or of another kind. 2.0 answers carry the counts of what
// was written, also next to an error.
//
// Beyond the specifications: zstd as Content-Encoding; media types in any form that MIME allows;
// and a message of one version sent as the other is refused rather than taken for an empty one.
package remotewrite
