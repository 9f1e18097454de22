package gather

import "github.com/prometheus/client_golang/prometheus"

// Options of a Gatherer. The zero value works.
type Options struct {
	// Registerer takes the metrics; nil keeps none.
	Registerer prometheus.Registerer
}
