// Package chunk turns samples into bytes and back, one file per encoding; it does no I/O.
//
// A chunk holds consecutive samples of one series, in time order, of one kind. It is open while
// the head appends to it and closed afterwards. Encodings 1-6 carry exactly the payload that
// Prometheus' tsdb/chunkenc writes for the same samples (so remote read may stream them as they
// lie); later encodings are our own.
//
// # Row
//
// What Pebble keeps for one series and slot is a row: the closed chunks of that series, by start.
//
//	row   = version u8 (1) | uvarint number of chunks | chunk...
//	chunk = encoding u8 | flags u8 (0) | uvarint samples | varint mint | uvarint maxt-mint
//	        | uvarint len(data) | data
//
// The first chunk's mint is absolute, the others' are relative to the mint before. Chunks of a row
// may overlap in time (late samples): readers join them with NewIterator, which resolves doubled
// timestamps by series.Resolve.
package chunk
