package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	promstorage "github.com/prometheus/prometheus/storage"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/barograph-db/barograph/querier"
)

// readLimits bound a remote-read request.
type readLimits struct {
	bytes     int // compressed, and decompressed
	selectors int // queries and matchers together
}

// readBody returns the compressed request.
func readBody(w http.ResponseWriter, r *http.Request, limit int) ([]byte, error) {
	body, err := io.ReadAll(&accountedBody{http.MaxBytesReader(w, r.Body, int64(limit)), querier.AccountOf(r.Context())})
	if err != nil {
		return nil, failf(badData, "read request: %w", err)
	}
	return body, nil
}

// decodeRead decodes a compressed remote-read request. Nothing is allocated for a length that the
// bytes merely claim: the decompressed size is checked before decompressing, and the number of
// messages before they are made.
func decodeRead(account *querier.Account, compressed []byte, limits readLimits) (*prompb.ReadRequest, error) {
	n, err := snappy.DecodedLen(compressed)
	if err != nil {
		return nil, fail(badData, err)
	}
	if n > limits.bytes {
		return nil, failf(badData, "snappy: decoded length %d exceeds limit %d", n, limits.bytes)
	}
	const copies = 3 // The message, its strings, and the structures around them.
	if err := account.Take(copies*int64(n), "the request's body"); err != nil {
		return nil, err
	}
	plain, err := snappy.Decode(nil, compressed)
	if err != nil {
		return nil, fail(badData, err)
	}
	if err := checkSelectors(plain, limits.selectors); err != nil {
		return nil, fail(badData, err)
	}
	req := &prompb.ReadRequest{}
	if err := req.Unmarshal(plain); err != nil {
		return nil, fail(badData, err)
	}
	return req, nil
}

// The field numbers of prometheus.ReadRequest and prometheus.Query.
const (
	fieldQueries  = 1
	fieldMatchers = 3
)

// checkSelectors refuses a request with more queries and matchers than limit: an empty message
// takes two bytes there and a hundred times that in memory.
func checkSelectors(request []byte, limit int) error {
	n := 0
	count := func() error {
		if n++; n > limit {
			return fmt.Errorf("more than %d queries and matchers in a request", limit)
		}
		return nil
	}
	return eachMessage(request, fieldQueries, func(query []byte) error {
		if err := count(); err != nil {
			return err
		}
		return eachMessage(query, fieldMatchers, func([]byte) error { return count() })
	})
}

// eachMessage calls fn for each length-delimited field of that number in b.
func eachMessage(b []byte, number protowire.Number, fn func([]byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if num == number && typ == protowire.BytesType {
			msg, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			if err := fn(msg); err != nil {
				return err
			}
			b = b[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
	}
	return nil
}

// negotiate picks the first response type of those the client accepts that we know; none named is
// samples.
func negotiate(accepted []prompb.ReadRequest_ResponseType) (prompb.ReadRequest_ResponseType, error) {
	if len(accepted) == 0 {
		return prompb.ReadRequest_SAMPLES, nil
	}
	for _, t := range accepted {
		if t == prompb.ReadRequest_SAMPLES || t == prompb.ReadRequest_STREAMED_XOR_CHUNKS {
			return t, nil
		}
	}
	return 0, fail(badData, errors.New("none of the requested response types is supported; SAMPLES and STREAMED_XOR_CHUNKS are"))
}

// matchTypes translates the wire's matcher types.
var matchTypes = map[prompb.LabelMatcher_Type]labels.MatchType{
	prompb.LabelMatcher_EQ:  labels.MatchEqual,
	prompb.LabelMatcher_NEQ: labels.MatchNotEqual,
	prompb.LabelMatcher_RE:  labels.MatchRegexp,
	prompb.LabelMatcher_NRE: labels.MatchNotRegexp,
}

// readMatchers makes matchers of the wire's. External labels are on no series here but on all that
// leave: a matcher that one satisfies asks for series without that label.
func (a *API) readMatchers(ctx context.Context, wire []*prompb.LabelMatcher, external labels.Labels) ([]*labels.Matcher, error) {
	ms := make([]*labels.Matcher, len(wire))
	for i, m := range wire {
		typ, known := matchTypes[m.Type]
		if !known {
			return nil, failf(badData, "unknown matcher type %d", m.Type)
		}
		value := m.Value
		if typ == labels.MatchEqual && external.Has(m.Name) && external.Get(m.Name) == value {
			value = ""
		}
		var err error
		if ms[i], err = a.opts.Engine.NewMatcher(ctx, typ, m.Name, value); err != nil {
			return nil, fail(badData, err)
		}
	}
	return ms, nil
}

// readHints are the client's hints for its own query; the times are those of the query itself, since
// hints may be left out in part.
func readHints(q *prompb.Query) *promstorage.SelectHints {
	hints := &promstorage.SelectHints{Start: q.StartTimestampMs, End: q.EndTimestampMs}
	if h := q.Hints; h != nil {
		hints.Step, hints.Range = h.StepMs, h.RangeMs
		hints.Func, hints.Grouping, hints.By = h.Func, h.Grouping, h.By
	}
	return hints
}
