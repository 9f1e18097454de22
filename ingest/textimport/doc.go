// Package textimport takes samples in the Prometheus text format 0.0.4 or OpenMetrics 1.0, as one
// body of any length: POST /api/v1/import/prometheus.
//
// The body is read in pieces of whole lines. A piece is parsed, looked up and written in batches
// before the next is read, so that memory does not grow with the body. As with every other way in,
// the labels of a known series are not parsed: the text from the metric name to the closing brace is
// hashed as it stands.
//
// Each line stands for itself. One that can't be parsed is refused and named by its number; the
// others are stored. Beyond what the formats say:
//
//   - A sample without a timestamp is of the time when the request began.
//   - extra_label=name=value in the query string, any number of times, adds a label to every series,
//     in place of one it may have.
//   - A line ends at a line feed, also between quotes, and a carriage return before it is ignored in
//     the text format.
//   - The values of le and quantile are normalised under TYPE histogram and summary, as a scrape does.
//
// The answer is JSON with the counts of what was written, and of what was refused, by reason.
package textimport
