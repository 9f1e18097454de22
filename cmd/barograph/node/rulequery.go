package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/ruler"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// ruleQuery is how rules ask: as any client, but never for a part of the answer.
func ruleQuery(engine *querier.Engine) func(context.Context, string, int64) (promql.Vector, error) {
	return func(ctx context.Context, expr string, at int64) (promql.Vector, error) {
		res, err := engine.Instant(ctx, expr, time.UnixMilli(at).UTC(), querier.QueryOptions{})
		if err != nil {
			switch querier.KindOf(err) {
			case querier.Timeout, querier.TooMany, querier.Unavailable:
				err = &ruler.Passing{Err: err}
			}
			return nil, err
		}
		defer res.Close()
		switch v := res.Value.(type) {
		case promql.Vector:
			own := slices.Clone(v) // The result is valid until it is closed.
			for i := range own {
				if own[i].H != nil {
					own[i].H = own[i].H.Copy()
				}
			}
			return own, nil
		case promql.Scalar:
			return promql.Vector{{T: v.T, F: v.V, Metric: labels.EmptyLabels()}}, nil
		}
		return nil, errors.New("rule result is not a vector or scalar")
	}
}

// maxRuleBatch bounds the samples of a batch.
const maxRuleBatch = 5000

// ruleAppender is how rules write: as any client.
type ruleAppender struct {
	appender ingest.Appender
	hasher   *ingest.Hasher
}

func newRuleAppender(a ingest.Appender) *ruleAppender {
	return &ruleAppender{appender: a, hasher: ingest.NewHasher()}
}

// append writes all samples; one that is refused is an error, after which others may be written.
func (a *ruleAppender) append(ctx context.Context, samples []ruler.Sample) error {
	for part := range slices.Chunk(samples, maxRuleBatch) {
		if err := a.write(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (a *ruleAppender) write(ctx context.Context, samples []ruler.Sample) error {
	b, err := newRuleBatch(samples, a.hasher)
	if err != nil {
		return err
	}
	result, err := a.appender.Append(ctx, &b.batch)
	if err != nil {
		return passing(ingest.AsError(err).Reason, err)
	}
	if worst, ok := result.Rejections.Worst(); ok && worst.Reason.Class() != ingest.Dropped {
		return passing(worst.Reason, errors.New(result.Rejections.String()))
	}
	return nil
}

// passing marks an error that may pass.
func passing(why ingest.Reason, err error) error {
	switch why.Class() {
	case ingest.Passing, ingest.Limited:
		return &ruler.Passing{Err: err}
	}
	return err
}

// ruleBatch is a batch of samples, each a run of its own.
type ruleBatch struct {
	batch ingest.Batch
	sets  []series.Labels
}

func newRuleBatch(samples []ruler.Sample, hasher *ingest.Hasher) (*ruleBatch, error) {
	b := &ruleBatch{}
	b.batch.Source = b
	var pairs []series.Pair
	for _, s := range samples {
		pairs = pairs[:0]
		s.Labels.Range(func(l labels.Label) {
			pairs = append(pairs, series.Pair{Name: []byte(l.Name), Value: []byte(l.Value)})
		})
		set, err := series.FromPairs(nil, pairs)
		if err != nil {
			return nil, err
		}
		run := ingest.Run{Key: hasher.Sum(set)}
		if s.Histogram != nil {
			i := uint32(len(b.batch.Histograms))
			b.batch.Histograms = append(b.batch.Histograms, frame.Histogram{T: s.At, FH: s.Histogram})
			run.Histograms = ingest.Span{From: i, To: i + 1}
		} else {
			i := uint32(len(b.batch.Times))
			b.batch.Times, b.batch.Values = append(b.batch.Times, s.At), append(b.batch.Values, s.Value)
			run.Floats = ingest.Span{From: i, To: i + 1}
		}
		b.batch.Runs, b.sets = append(b.batch.Runs, run), append(b.sets, set)
	}
	return b, nil
}

// AppendPairs implements ingest.Labeler.
func (b *ruleBatch) AppendPairs(dst []series.Pair, run int) ([]series.Pair, error) {
	for name, value := range b.sets[run].All() {
		dst = append(dst, series.Pair{Name: name, Value: value})
	}
	return dst, nil
}
