// Package intake is what the HTTP ways in have in common: it reads bodies, decompressed and
// bounded, in pooled memory that counts as bytes in flight while it is used, and it answers, by the
// status that package ingest gives each reason.
//
// A handler does, for each request:
//
//	q := in.Begin("name", w, r)
//	defer q.End()
//	body, err := q.Body(...)  // or q.Stream()
//	...
//	q.Fail(err)               // or q.Text, q.JSON, q.NoContent
//
// # Bounds
//
// A body is read in growing pieces, so that a length in a header costs nothing by itself. The
// decoded length that a snappy block claims is checked against the limit, and against what a block
// of its size can hold at most, before memory is taken for it. Other encodings are decoded as a
// stream that ends with an error at the limit. A body that does not arrive in time is given up.
package intake
