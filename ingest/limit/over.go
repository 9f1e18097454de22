package limit

import (
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
)

// Over returns an Appender that drops what a batch has too much of before next gets it.
func (l *Limiter) Over(next ingest.Appender) ingest.Appender { return over{l, next} }

type over struct {
	*Limiter
	next ingest.Appender
}

func (o over) Append(ctx context.Context, b *ingest.Batch) (ingest.Result, error) {
	opts := o.Options()
	if !atMost(len(b.Exemplars), opts.ExemplarsPerRequest) {
		o.cutExemplars(b, opts.ExemplarsPerRequest)
	}
	if len(b.Metadata) > 0 {
		o.cutMetadata(b, opts)
	}
	return o.next.Append(ctx, b)
}

// cutExemplars keeps the first ones; the runs are in the order of their exemplars.
func (o over) cutExemplars(b *ingest.Batch, limit int) {
	dropped := len(b.Exemplars) - limit
	b.Exemplars = b.Exemplars[:limit]
	for i := range b.Runs {
		s := &b.Runs[i].Exemplars
		s.From, s.To = min(s.From, uint32(limit)), min(s.To, uint32(limit))
	}
	o.metrics.refused[Exemplars].Add(float64(dropped))
	b.Rejections.Add(ingest.TooManyExemplars, ingest.Counts{Exemplars: dropped}, func() string {
		return fmt.Sprintf("the limit is %d", limit)
	})
}

func (o over) cutMetadata(b *ingest.Batch, opts *Options) {
	before := len(b.Metadata)
	b.Metadata = slices.DeleteFunc(b.Metadata, func(m frame.Metadata) bool {
		if atMost(len(m.Metric)+len(m.Type)+len(m.Help)+len(m.Unit), opts.MetadataBytes) &&
			utf8.ValidString(m.Metric) && utf8.ValidString(m.Help) && utf8.ValidString(m.Unit) {
			return false
		}
		b.Rejections.Add(ingest.MetadataTooLong, ingest.Counts{Metadata: 1}, func() string { return "metric " + m.Metric })
		return true
	})
	o.metrics.refused[MetadataSize].Add(float64(before - len(b.Metadata)))
	if atMost(len(b.Metadata), opts.MetadataPerRequest) {
		return
	}
	dropped := len(b.Metadata) - opts.MetadataPerRequest
	b.Metadata = b.Metadata[:opts.MetadataPerRequest]
	o.metrics.refused[Metadata].Add(float64(dropped))
	b.Rejections.Add(ingest.TooManyMetadata, ingest.Counts{Metadata: dropped}, func() string {
		return fmt.Sprintf("the limit is %d", opts.MetadataPerRequest)
	})
}
