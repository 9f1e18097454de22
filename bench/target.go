package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// target is a server under measurement.
type target struct {
	name   string
	binary string
	args   func(dir, addr string) ([]string, error)
	write  string // path that takes remote write 1.0
	ready  string // path that answers 200 when it does
	query  url.Values
	// settle brings all data to its final form on disk and returns the folder to weigh.
	settle func(ctx context.Context, s *server) (string, error)
}

// client is not reused beyond one run.
var client = &http.Client{Timeout: 10 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}

func targets(barograph string) ([]target, error) {
	all := []target{
		{
			name: "barograph", binary: barograph, write: "/api/v1/write", ready: "/-/ready",
			args: func(dir, addr string) ([]string, error) {
				return []string{
					"serve", "--storage.path=" + dir, "--web.listen-address=" + addr, "--web.enable-admin-api",
				}, nil
			},
			settle: func(ctx context.Context, s *server) (string, error) {
				for _, path := range []string{"flush", "seal"} {
					if err := post(ctx, "http://"+s.addr+"/api/v1/admin/storage/"+path); err != nil {
						return "", err
					}
				}
				return s.dir, s.idle(ctx) // Tables that were replaced are removed in the background.
			},
		},
		{
			name: "prometheus", binary: "prometheus", write: "/api/v1/write", ready: "/-/ready",
			args: func(dir, addr string) ([]string, error) {
				config := dir + ".yml"
				err := os.WriteFile(config, []byte("global: {}\nstorage:\n  tsdb:\n    out_of_order_time_window: 1h\n"), 0o644)
				return []string{
					"--config.file=" + config, "--storage.tsdb.path=" + dir, "--web.listen-address=" + addr,
					"--web.enable-remote-write-receiver", "--web.enable-admin-api", "--storage.tsdb.retention.time=90d",
					"--query.max-samples=200000000",
				}, err
			},
			settle: func(ctx context.Context, s *server) (string, error) {
				// Prometheus writes its head as a block only for a snapshot.
				return filepath.Join(s.dir, "snapshots"), post(ctx, "http://"+s.addr+"/api/v1/admin/tsdb/snapshot")
			},
		},
		{
			name: "victoria-metrics", binary: "victoria-metrics", write: "/api/v1/write", ready: "/health",
			query: url.Values{"nocache": {"1"}},
			args: func(dir, addr string) ([]string, error) {
				return []string{
					"-storageDataPath=" + dir, "-httpListenAddr=" + addr, "-retentionPeriod=90d",
					"-search.latencyOffset=0s", "-search.maxUniqueTimeseries=10000000", "-search.maxQueryDuration=5m",
				}, nil
			},
			settle: func(ctx context.Context, s *server) (string, error) {
				for _, path := range []string{"/internal/force_flush", "/internal/force_merge"} {
					if code, _, err := get(ctx, "http://"+s.addr+path); err != nil || code != http.StatusOK {
						return "", fmt.Errorf("%s: status %d: %w", path, code, err)
					}
				}
				return s.dir, s.idle(ctx)
			},
		},
	}
	for i, t := range all {
		path, err := exec.LookPath(t.binary)
		if err != nil {
			return nil, fmt.Errorf("%s is not installed: %w", t.name, err)
		}
		all[i].binary = path
	}
	return all, nil
}

// idle waits until the server's data directory has kept its size for some seconds.
func (s *server) idle(ctx context.Context) error {
	last, same := int64(-1), 0
	for same < 4 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		size, err := sizeOf(s.dir)
		if err != nil {
			return err
		}
		if size == last {
			same++
		} else {
			last, same = size, 0
		}
	}
	return nil
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func get(ctx context.Context, url string) (int, []byte, error) {
	return do(ctx, http.MethodGet, url, nil)
}

func post(ctx context.Context, url string) error {
	code, body, err := do(ctx, http.MethodPost, url, nil)
	if err == nil && code/100 != 2 {
		err = fmt.Errorf("%s: status %d: %.200s", url, code, body)
	}
	return err
}

func do(ctx context.Context, method, url string, form url.Values) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}
