package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/barograph-db/barograph/querier"
)

// read answers Prometheus' remote-read protocol. Its errors are plain text.
func (a *API) read(w http.ResponseWriter, r *http.Request) {
	err := a.turn(r.Context())
	if err == nil {
		defer a.endTurn()
		err = a.readInTurn(w, r)
	}
	if err != nil {
		plainError(w, err)
	}
}

// turn waits until a remote read may run.
func (a *API) turn(ctx context.Context) error {
	start := time.Now()
	defer func() { a.metrics.readWait.Observe(time.Since(start).Seconds()) }()
	select {
	case a.reads <- struct{}{}:
		a.metrics.readBusy.Inc()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *API) endTurn() {
	a.metrics.readBusy.Dec()
	<-a.reads
}

func (a *API) readInTurn(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, a.opts.MaxReadBytes)
	if err != nil {
		return err
	}
	req, err := decodeRead(querier.AccountOf(r.Context()), body, readLimits{bytes: a.opts.MaxReadBytes, selectors: a.opts.MaxReadSelectors})
	if err != nil {
		return err
	}
	typ, err := negotiate(req.AcceptedResponseTypes)
	if err != nil {
		return err
	}
	external := a.opts.ExternalLabels()
	if typ == prompb.ReadRequest_STREAMED_XOR_CHUNKS {
		return a.streamChunks(r.Context(), w, req.Queries, external)
	}
	return a.readSamples(r.Context(), w, req.Queries, external)
}

// readSamples answers with one message that holds all samples.
func (a *API) readSamples(ctx context.Context, w http.ResponseWriter, queries []*prompb.Query, external labels.Labels) error {
	c := sampleCount{account: querier.AccountOf(ctx), left: a.opts.MaxReadSamples, limit: a.opts.MaxReadSamples}
	resp := prompb.ReadResponse{Results: make([]*prompb.QueryResult, len(queries))}
	for i, q := range queries {
		result, err := a.querySamples(ctx, q, external, &c)
		if err != nil {
			return err
		}
		resp.Results[i] = result
	}
	plain, err := resp.Marshal()
	if err != nil {
		return err
	}
	if snappy.MaxEncodedLen(len(plain)) < 0 {
		return failf(badData, "an answer of %d bytes cannot be compressed; ask for streamed chunks", len(plain))
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Header().Set("Content-Encoding", "snappy")
	for part := range slices.Chunk(snappy.Encode(nil, plain), spillBytes) {
		hurry(w)
		if _, err := w.Write(part); err != nil {
			a.metrics.dropped.Inc()
			break
		}
	}
	return nil
}

// querySamples answers one query.
func (a *API) querySamples(ctx context.Context, query *prompb.Query, external labels.Labels, c *sampleCount) (*prompb.QueryResult, error) {
	ms, err := a.readMatchers(ctx, query.Matchers, external)
	if err != nil {
		return nil, err
	}
	q, err := a.opts.Engine.Queryable().Querier(query.StartTimestampMs, query.EndTimestampMs)
	if err != nil {
		return nil, err
	}
	defer func() { _ = q.Close() }()
	result := &prompb.QueryResult{}
	set := q.Select(ctx, true, readHints(query), ms...)
	var it chunkenc.Iterator
	for set.Next() {
		s := set.At()
		if err := c.account.Take(readSeriesBytes+3*int64(s.Labels().Len())*readLabelBytes, remoteRead); err != nil {
			return nil, err
		}
		it = s.Iterator(it)
		ts := &prompb.TimeSeries{Labels: wireLabels(s.Labels(), external)}
		if err := appendSamples(ts, it, c); err != nil {
			return nil, err
		}
		result.Timeseries = append(result.Timeseries, ts)
	}
	return result, set.Err()
}

// An answer with all samples takes them three times: as messages, as their bytes, and compressed.
const (
	readSeriesBytes    = 200
	readLabelBytes     = 64
	readSampleBytes    = 64 // Slices grow to twice of what they need.
	readHistogramBytes = 2048
	remoteRead         = "an answer to a remote read"
)

// sampleCount bounds the samples of an answer.
type sampleCount struct {
	account     *querier.Account
	left, limit int
	taken       int64 // bytes, for samples to come
}

// next counts a sample that takes so many bytes.
func (c *sampleCount) next(bytes int64) error {
	if c.left--; c.left < 0 {
		return failf(badData, "exceeded sample limit (%d)", c.limit)
	}
	if c.taken -= bytes; c.taken >= 0 {
		return nil
	}
	const atOnce = 64 << 10
	c.taken += atOnce
	return c.account.Take(atOnce, remoteRead)
}

func appendSamples(ts *prompb.TimeSeries, it chunkenc.Iterator, c *sampleCount) error {
	for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
		bytes := int64(readSampleBytes)
		if typ != chunkenc.ValFloat {
			bytes = readHistogramBytes
		}
		if err := c.next(bytes); err != nil {
			return err
		}
		switch typ {
		case chunkenc.ValFloat:
			t, v := it.At()
			ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: t, Value: v})
		case chunkenc.ValHistogram:
			ts.Histograms = append(ts.Histograms, prompb.FromIntHistogram(it.AtHistogram(nil)))
		case chunkenc.ValFloatHistogram:
			ts.Histograms = append(ts.Histograms, prompb.FromFloatHistogram(it.AtFloatHistogram(nil)))
		}
	}
	return it.Err()
}

// wireLabels are the labels of a series with the external ones that it does not have itself.
func wireLabels(ls, external labels.Labels) []prompb.Label {
	if external.IsEmpty() {
		return prompb.FromLabels(ls, nil)
	}
	b := labels.NewBuilder(ls)
	external.Range(func(l labels.Label) {
		if !ls.Has(l.Name) {
			b.Set(l.Name, l.Value)
		}
	})
	return prompb.FromLabels(b.Labels(), nil)
}
