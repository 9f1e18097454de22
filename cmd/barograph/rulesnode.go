package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
)

// rulesNode is the server that rules are evaluated against: asked by range queries, given samples by
// remote write. What fails for a while is tried again.
type rulesNode struct {
	api      v1.API
	client   *http.Client
	writeURL string
	wait     time.Duration // before the second trial; each later one waits twice as long
}

func newRulesNode(t *target) (*rulesNode, error) {
	base, err := t.base()
	if err != nil {
		return nil, err
	}
	rt, err := t.transport()
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(api.Config{Address: base.String(), RoundTripper: rt})
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	return &rulesNode{
		api: v1.NewAPI(client), client: &http.Client{Transport: rt, Timeout: time.Minute},
		writeURL: base.JoinPath("/api/v1/write").String(), wait: time.Second,
	}, nil
}

// lastingError is one that would come again.
type lastingError struct{ error }

// trials is how often something is tried.
const trials = 5

// try does something until it succeeds, fails for good, or was tried often enough.
func (n *rulesNode) try(ctx context.Context, do func(context.Context) error) error {
	wait := n.wait
	for trial := 1; ; trial++ {
		err := do(ctx)
		var lasting lastingError
		if err == nil || errors.As(err, &lasting) || trial == trials {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// query evaluates an expression at all times of a range.
func (n *rulesNode) query(ctx context.Context, expr string, r v1.Range) (matrix model.Matrix, err error) {
	err = n.try(ctx, func(ctx context.Context) error {
		v, _, _, err := n.api.QueryRange(ctx, expr, r)
		var refused *v1.Error
		if errors.As(err, &refused) {
			err = fmt.Errorf("query: %s: %s", refused.Type, refused.Msg)
			if refused.Type == v1.ErrBadData || refused.Type == v1.ErrExec {
				return lastingError{err}
			}
		}
		if err != nil {
			return err
		}
		var ok bool
		if matrix, ok = v.(model.Matrix); !ok {
			return lastingError{fmt.Errorf("query: the answer is a %s", v.Type())}
		}
		return nil
	})
	return matrix, err
}

// maxSamplesSent bounds the samples of one request.
const maxSamplesSent = 20_000

// write sends series in requests of bounded size.
func (n *rulesNode) write(ctx context.Context, all []prompb.TimeSeries) error {
	for len(all) > 0 {
		count, samples := 0, 0
		for count < len(all) && (count == 0 || samples+len(all[count].Samples) <= maxSamplesSent) {
			samples += len(all[count].Samples)
			count++
		}
		body, err := (&prompb.WriteRequest{Timeseries: all[:count]}).Marshal()
		if err != nil {
			return err
		}
		body = s2.EncodeSnappy(nil, body)
		if err := n.try(ctx, func(ctx context.Context) error { return n.post(ctx, body) }); err != nil {
			return err
		}
		all = all[count:]
	}
	return nil
}

func (n *rulesNode) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.writeURL, bytes.NewReader(body))
	if err != nil {
		return lastingError{err}
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	resp, err := n.client.Do(req)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		return nil
	}
	err = fmt.Errorf("write: the server answered %s: %s", resp.Status, strings.TrimSpace(string(answer)))
	if resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusTooManyRequests {
		return lastingError{err}
	}
	return err
}
