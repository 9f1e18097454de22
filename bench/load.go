package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load sends the requests of rec to servers in turn, each connection its own in order to one of them,
// until ctx ends. It returns how many of each connection's requests were acknowledged.
func load(ctx context.Context, to []*server, rec *recording, conns int) (acked []int, samples int64, err error) {
	acked = make([]int, conns)
	var total atomic.Int64
	var g errgroup.Group
	for c := range conns {
		g.Go(func() error {
			var buf []byte
			for _, q := range rec.requests {
				if int(q.conn) != c {
					continue
				}
				var err error
				if buf, err = rec.body(q, buf); err != nil {
					return err
				}
				if err := push(ctx, to[c%len(to)], buf); err != nil {
					if ctx.Err() != nil {
						return nil
					}
					return fmt.Errorf("connection %d, request %d: %w", c, acked[c], err)
				}
				acked[c]++
				total.Add(int64(q.samples))
			}
			return nil
		})
	}
	err = g.Wait()
	return acked, total.Load(), err
}

// push sends one request, again as long as the server says that its fault is passing.
func push(ctx context.Context, s *server, body []byte) error {
	for try := 0; ; try++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+s.write, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-protobuf")
		req.Header.Set("Content-Encoding", "snappy")
		req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		resp.Body.Close()
		switch {
		case resp.StatusCode/100 == 2:
			return nil
		case (resp.StatusCode/100 == 5 || resp.StatusCode == http.StatusTooManyRequests) && try < 600:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
		default:
			return fmt.Errorf("status %d: %.300s", resp.StatusCode, text)
		}
	}
}
