// Package cardinality counts what series have: how many there are of each metric and label, and how
// many values a label name has. Counts of series that have nothing in common can be merged, and be sent.
//
//	Counts of shards 0-7 ──┐
//	                       ├─ Merge ─► Counts of shards 0-15
//	Counts of shards 8-15 ─┘
//
// Series add up. Values don't: those of a name are on all nodes. Distinct is a sketch of them, the least
// so many of their hashes. As long as there are no more, their number is exact; beyond that it follows from how
// close to each other they lie, within two percent or so.
//
// Rankings are cut, so that an answer is bounded: see Limits. What is rare among the series of every
// node may be missing from their sum, which matters for nothing that is asked of a ranking.
//
// # Encoding
//
//	counts   = version u8 (1) | uvarint series | uvarint chunks | varint mint | varint maxt | distinct pairs
//	         | uvarint n | ranked...    series by metric
//	         | uvarint n | ranked...    series by label, written name=value
//	         | uvarint n | name...
//	ranked   = text | uvarint
//	name     = text | uvarint bytes of its values over all series | distinct values
//	distinct = uvarint limit | uvarint n | u64 le...    hashes, in rising order
//	text     = uvarint length | bytes
package cardinality
