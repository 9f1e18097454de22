package frame

import "github.com/barograph-db/barograph/storage/series"

// ExemplarSeries is a series with the exemplars kept for it, by time. Their Ref is not set.
type ExemplarSeries struct {
	Labels    series.Labels
	Exemplars []Exemplar
}
