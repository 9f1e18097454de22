package chunk

import (
	"github.com/barograph-db/barograph/storage/series"
)

// Encoding says how a chunk's bytes are laid out. The numbers are on disk; never reuse one.
type Encoding uint8

// The encodings. Up to 6 the names are those of Prometheus' tsdb/chunkenc.
const (
	None             Encoding = 0
	XOR              Encoding = 1 // float
	XOR2             Encoding = 2 // float with start timestamps
	Histogram        Encoding = 3
	FloatHistogram   Encoding = 4
	HistogramST      Encoding = 5 // with start timestamps
	FloatHistogramST Encoding = 6

	// Decimal is the first of our own: floats in packed columns, for closed chunks only.
	Decimal Encoding = 16
	// Packed has native histograms of any of the kinds above, in columns; for closed chunks, too.
	Packed Encoding = 17
)

// MaxSamples closes an open chunk: at this many samples a new one begins. Longer chunks decode no
// faster and XOR2 grows above 127 samples.
const MaxSamples = 120

// Chunk is a run of encoded samples of one series. Data may not be written to.
type Chunk struct {
	Enc        Encoding
	Samples    int
	MinT, MaxT int64 // inclusive, milliseconds
	Data       []byte
	// Times are the timestamps if Data lacks them; nil in a chunk that stands for itself.
	Times *Times
}

// Series is one series with its chunks for some selection.
type Series struct {
	Fingerprint series.Fingerprint
	Labels      series.Labels
	// Chunks by MinT; they may overlap.
	Chunks []Chunk
}

// SeriesSet yields series in the order of series.Compare. Use: for set.Next() { set.At() }, then
// Err, then Close. What At returned stays valid until Close.
type SeriesSet interface {
	Next() bool
	At() Series
	Err() error
	Close() error
}
