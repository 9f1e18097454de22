package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/api"
	"github.com/prometheus/common/model"

	"github.com/barograph-db/barograph/querier/explain"
)

// explainedClient asks for explanations, which the client of Prometheus' API does not know, and keeps the
// last.
type explainedClient struct {
	api.Client
	explanation *explain.Explanation
}

// Do sends a request.
func (c *explainedClient) Do(ctx context.Context, req *http.Request) (*http.Response, []byte, error) {
	params := req.URL.Query()
	params.Set("explain", "1")
	req.URL.RawQuery = params.Encode()
	resp, body, err := c.Client.Do(ctx, req)
	if err != nil {
		return resp, body, err
	}
	var answer struct {
		Data struct{ Explain *explain.Explanation }
	}
	if err := json.Unmarshal(body, &answer); err == nil { // Who sees the rest of the answer says what is wrong with it.
		c.explanation = answer.Data.Explain
	}
	return resp, body, nil
}

// print prints an answer and how it came about: in JSON together, else apart, so that the table or the CSV
// stays one.
func (c *explainedClient) print(s streams, v model.Value, format string) error {
	if c.explanation == nil {
		return errors.New("query: the server does not explain its answers")
	}
	if format == "json" {
		return printJSON(s.out, answer{ResultType: v.Type().String(), Result: v, Explain: c.explanation})
	}
	if err := printValue(s.out, v, format); err != nil {
		return err
	}
	to := s.out
	if format == "csv" {
		to = s.err
	}
	_, err := fmt.Fprintf(to, "\n%s", c.explanation)
	return err
}
