package limit

import (
	"fmt"
	"time"
)

// Options are the limits; the keys of the config file, under barograph: limits:, stand beside
// them. A zero takes the default. A negative value is no limit, except for the bytes of bodies and
// the buckets of histograms, which are always bounded.
type Options struct {
	// BodyBytes of one request as it is sent, compressed; default 32 MiB.
	BodyBytes int64 `yaml:"body_bytes"`
	// DecodedBytes of one request when decompressed, and of the columns it is decoded into; default
	// 128 MiB.
	DecodedBytes int64 `yaml:"decoded_bytes"`
	// ImportBytes of one import when decompressed. Imports are streamed: this bounds time, not
	// memory. Default 16 GiB.
	ImportBytes int64 `yaml:"import_bytes"`
	// InFlightBytes of all requests being worked on at once, compressed, decompressed and decoded;
	// beyond it requests get 503 and Retry-After. Default 512 MiB.
	InFlightBytes int64 `yaml:"in_flight_bytes"`

	// BodyTime is how long a body may take to arrive, and each piece of an import; default 30 s.
	BodyTime time.Duration `yaml:"body_time"`

	// LabelsPerSeries is the most labels a series may have; default 128.
	LabelsPerSeries int `yaml:"labels_per_series"`
	// LabelNameBytes is the longest label name; default 1 KiB.
	LabelNameBytes int `yaml:"label_name_bytes"`
	// LabelValueBytes is the longest label value, metric names among them; default 8 KiB.
	LabelValueBytes int `yaml:"label_value_bytes"`
	// HistogramBuckets is the most buckets, of both signs, and as many custom bounds, of one native
	// histogram; default 10,000.
	HistogramBuckets int `yaml:"histogram_buckets"`

	// ActiveSeries that may be in memory at once. When there are as many, known ones are still
	// taken and new ones get 429. Default 5 million, about 2 GiB.
	ActiveSeries int `yaml:"active_series"`
	// NewSeriesPerSecond that may come in the long run; beyond it they get 429. Default 100,000.
	NewSeriesPerSecond int `yaml:"new_series_per_second"`
	// NewSeriesBurst that may come at once after a quiet time, as when a node is first used;
	// default 2 million.
	NewSeriesBurst int `yaml:"new_series_burst"`

	// ExemplarsPerRequest is the most exemplars taken of one request, the rest is dropped; default
	// 20,000.
	ExemplarsPerRequest int `yaml:"exemplars_per_request"`
	// MetadataPerRequest is the most metadata taken of one request, the rest is dropped; default
	// 20,000.
	MetadataPerRequest int `yaml:"metadata_per_request"`
	// MetadataBytes is the longest metric name, type, unit and help of one metadata together;
	// longer ones are dropped. Default 8 KiB.
	MetadataBytes int `yaml:"metadata_bytes"`
}

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	setDefault(&o.BodyBytes, 32<<20)
	setDefault(&o.DecodedBytes, 128<<20)
	setDefault(&o.ImportBytes, 16<<30)
	setDefault(&o.InFlightBytes, 512<<20)
	setDefault(&o.BodyTime, 30*time.Second)
	setDefault(&o.LabelsPerSeries, 128)
	setDefault(&o.LabelNameBytes, 1<<10)
	setDefault(&o.LabelValueBytes, 8<<10)
	setDefault(&o.HistogramBuckets, 10_000)
	setDefault(&o.ActiveSeries, 5_000_000)
	setDefault(&o.NewSeriesPerSecond, 100_000)
	setDefault(&o.NewSeriesBurst, 2_000_000)
	setDefault(&o.ExemplarsPerRequest, 20_000)
	setDefault(&o.MetadataPerRequest, 20_000)
	setDefault(&o.MetadataBytes, 8<<10)
}

func setDefault[T int | int64 | time.Duration](p *T, v T) {
	if *p == 0 {
		*p = v
	}
}

// maxBody is the most that bodies, decoded or not, can be set to: positions in them are numbers of
// 31 bits.
const maxBody = 1 << 30

// Validate returns an error that names the limit it finds wrong.
func (o *Options) Validate() error {
	switch {
	case o.BodyBytes < 0 || o.BodyBytes > maxBody:
		return fmt.Errorf("body_bytes %d is not between 1 and %d", o.BodyBytes, maxBody)
	case o.DecodedBytes < 0 || o.DecodedBytes > maxBody:
		return fmt.Errorf("decoded_bytes %d is not between 1 and %d", o.DecodedBytes, maxBody)
	case o.BodyTime < 0:
		return fmt.Errorf("body_time %s is not positive", o.BodyTime)
	case o.HistogramBuckets < 0:
		return fmt.Errorf("histogram_buckets %d is not positive", o.HistogramBuckets)
	case o.InFlightBytes > 0 && o.InFlightBytes < o.BodyBytes:
		return fmt.Errorf("in_flight_bytes %d is below body_bytes %d", o.InFlightBytes, o.BodyBytes)
	}
	return nil
}

// atMost says whether n keeps a limit that may be none.
func atMost[T int | int64](n, limit T) bool { return limit < 0 || n <= limit }
