// Package limit bounds what writers may ask of a node: the size of a request, the bytes being
// worked on at once, the shape of a series' labels, and how many series there are and come.
//
// A Limiter is asked from three sides. Handlers ask it for the sizes of bodies and hold the bytes
// they use while they use them. The ingest.Writer, whose Guard it is, asks about labels and new
// series, so that known series cost no question and go on when the limit of series is reached.
// And Over makes an ingest.Appender of it that caps what comes along with samples.
//
// Every limit can be changed while requests are served, and every refusal is counted, by the name
// of the limit's config key.
package limit
