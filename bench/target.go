package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	// flush brings all data to disk as the target does by itself in time.
	flush func(ctx context.Context, s *server) error
	// seal brings all data to its final and smallest form and returns the folder to weigh.
	seal func(ctx context.Context, s *server) (string, error)
}

// client is not reused beyond one run.
var client = &http.Client{Timeout: 10 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// targets returns those of these names, with the paths of their binaries.
func targets(barograph string, names []string) ([]target, error) {
	all := []target{
		{
			name: "barograph", binary: barograph, write: "/api/v1/write", ready: "/-/ready",
			args: func(dir, addr string) ([]string, error) {
				return []string{
					"serve", "--storage.path=" + dir, "--web.listen-address=" + addr, "--web.enable-admin-api",
				}, nil
			},
			flush: func(ctx context.Context, s *server) error {
				return post(ctx, "http://"+s.addr+"/api/v1/admin/storage/flush")
			},
			seal: func(ctx context.Context, s *server) (string, error) {
				if err := post(ctx, "http://"+s.addr+"/api/v1/admin/storage/seal"); err != nil {
					return "", err
				}
				return s.dir, s.idle(ctx)
			},
		},
		{
			name: "prometheus", binary: "prometheus", write: "/api/v1/write", ready: "/-/ready",
			args: func(dir, addr string) ([]string, error) {
				config := dir + ".yml"
				err := os.WriteFile(config, []byte("global: {}\nstorage:\n  tsdb:\n    out_of_order_time_window: 7d\n"), 0o644)
				return []string{
					"--config.file=" + config, "--storage.tsdb.path=" + dir, "--web.listen-address=" + addr,
					"--web.enable-remote-write-receiver", "--web.enable-admin-api", "--storage.tsdb.retention.time=90d",
					"--query.max-samples=200000000",
				}, err
			},
			// What is in its log stays there.
			flush: func(context.Context, *server) error { return nil },
			seal: func(ctx context.Context, s *server) (string, error) {
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
			flush: func(ctx context.Context, s *server) error {
				return errors.Join(call(ctx, s, "/internal/force_flush"), s.idle(ctx))
			},
			seal: func(ctx context.Context, s *server) (string, error) {
				return s.dir, errors.Join(
					call(ctx, s, "/internal/force_flush"), call(ctx, s, "/internal/force_merge"), s.idle(ctx))
			},
		},
	}
	var chosen []target
	for _, name := range names {
		i := slices.IndexFunc(all, func(t target) bool { return t.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no target %q", name)
		}
		t := all[i]
		path, err := exec.LookPath(t.binary)
		if err != nil {
			return nil, fmt.Errorf("%s is not installed: %w", t.name, err)
		}
		t.binary = path
		chosen = append(chosen, t)
	}
	return chosen, nil
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

// call asks for a path of the server's, for its effect.
func call(ctx context.Context, s *server, path string) error {
	code, _, err := get(ctx, "http://"+s.addr+path)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%s: status %d", path, code)
	}
	return err
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
