// Package index finds series by their labels: it evaluates matchers on postings, and holds the
// head's postings in memory.
//
// # Postings
//
// Postings are the numbers of the series that carry a label, as a roaring bitmap. A Source is
// anything that has them: Mem here (numbers are the head's indexes, in order of arrival) and a
// block's index (numbers are ordinals). Select turns matchers into one bitmap over any Source.
//
// # Matchers
//
// A missing label is a label with an empty value, as everywhere in Prometheus. So a matcher that
// does not match "" asks for series that have the label with a matching value, and the union of
// those postings is kept; a matcher that does match "" refuses the series that have the label with
// a value it does not match, and those postings are taken away. Selective matchers go first; the
// later ones meet only what is left, value by value, so that a regular expression over many values
// never joins all their postings.
//
// # Mem
//
//	names   "__name__" "instance" "job" ...                 a name has a number
//	pairs   0: job="api"   1: __name__="up"   2: ...        a label has a number and its postings
//	sets    series 0: 1 2 0   series 1: 7 2 0   ...         a series' labels: uvarint pair numbers
//
// A label is stored once, a series costs two or three bytes per label beside a string header, and
// its label bytes are rebuilt on demand. Postings of few series are sorted arrays; longer ones are
// roaring bitmaps. A bitmap that a reader was handed is never written again: the writer continues
// on a copy.
//
// Mem is safe for concurrent use. Reads take its lock shared and only for moments; a batch of
// additions takes it once.
package index
