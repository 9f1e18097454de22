package remotewrite

import (
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/exemplar"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// exemplar adds e with the labels in d.pairs, or notes why it is refused.
func (d *decoder) exemplar(e frame.Exemplar) error {
	size := 0
	why := ingest.Reason(0)
	runes := 0
	for _, p := range d.pairs {
		size += len(p.Name) + len(p.Value) + 4
		if len(p.Name) == 0 || !utf8.Valid(p.Name) || !utf8.Valid(p.Value) {
			why = ingest.BadExemplar
		}
		runes += utf8.RuneCount(p.Name) + utf8.RuneCount(p.Value)
	}
	if why == 0 && runes > exemplar.ExemplarMaxLabelSetLength {
		why = ingest.ExemplarTooLong
	}
	if why == 0 && size > 0 {
		var err error
		if e.Labels, err = series.FromPairs(make(series.Labels, 0, size), d.pairs); err != nil {
			why = ingest.BadExemplar
		}
	}
	if why != 0 {
		d.refused = append(d.refused, seriesRejection{why, ingest.Counts{Exemplars: 1}, "exemplar"})
		return d.use(exemplarBytes)
	}
	d.batch.Exemplars = append(d.batch.Exemplars, e)
	return d.use(exemplarBytes + int64(size))
}
