package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Bounds of what is read of an answer: of its text, and so that the connection can be used again.
const (
	maxAnswerText = 1 << 10
	maxAnswer     = 64 << 10
)

// target is how an Alertmanager is reached.
type target struct {
	client  *http.Client
	timeout time.Duration
}

// refusal is an answer that trying again does not change.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s: %s", r.status, http.StatusText(r.status), r.text))
}

// post sends a batch. The error is a *refusal, or one that may pass.
func (t *target) post(ctx context.Context, url string, batch []*entry) error {
	body, err := encode(batch)
	if err != nil {
		return &refusal{text: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := t.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerText))
	if resp.StatusCode/100 == 2 {
		if err == nil {
			_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
		}
		return nil
	}
	return judge(resp.StatusCode, string(text))
}

// judge says what an answer that is not 2xx means.
func judge(status int, text string) error {
	r := &refusal{status: status, text: strings.ToValidUTF8(strings.TrimSpace(text), "\ufffd")}
	if status/100 == 5 || status == http.StatusTooManyRequests {
		return errors.New(r.Error())
	}
	return r
}
