package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// maxReply bounds what is read of a server's answer to an import.
const maxReply = 64 << 10

func importCommand(app *kingpin.Application) command {
	clause := app.Command("import", "Send a file in the Prometheus text format or OpenMetrics to a server.")
	var (
		t      target
		path   string
		format string
		extra  []string
	)
	t.register(clause)
	clause.Flag("format", "Format of the file: auto (OpenMetrics when its name has .om or .openmetrics), text or openmetrics.").
		Default("auto").EnumVar(&format, "auto", "text", "openmetrics")
	clause.Flag("label", "Label to add to each series, as name=value; may be repeated.").PlaceHolder("NAME=VALUE").StringsVar(&extra)
	clause.Arg("file", "File to send; .gz and .zst are sent as they are. - is the standard input.").Required().StringVar(&path)
	return command{clause: clause, run: func(s streams) error {
		return importFile(s, &t, upload{path: path, format: format, labels: extra})
	}}
}

// upload is one file on its way to a server.
type upload struct {
	path   string
	format string
	labels []string
}

// contentType of the request.
func (u upload) contentType() string {
	format := u.format
	if format == "auto" {
		format = "text"
		for _, part := range strings.Split(u.path, ".")[1:] {
			if part == "om" || part == "openmetrics" {
				format = "openmetrics"
			}
		}
	}
	if format == "openmetrics" {
		return "application/openmetrics-text; version=1.0.0; charset=utf-8"
	}
	return "text/plain; version=0.0.4; charset=utf-8"
}

// contentEncoding of the request, by the file's suffix.
func (u upload) contentEncoding() string {
	switch {
	case strings.HasSuffix(u.path, ".gz"):
		return "gzip"
	case strings.HasSuffix(u.path, ".zst"):
		return "zstd"
	}
	return ""
}

// open returns the file and its size, -1 where it is not known.
func (u upload) open() (io.ReadCloser, int64, error) {
	if u.path == "-" {
		return io.NopCloser(os.Stdin), -1, nil
	}
	f, err := os.Open(u.path)
	if err != nil {
		return nil, 0, fmt.Errorf("import: %w", err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return f, -1, nil
	}
	return f, info.Size(), nil
}

// request to send the file with.
func (u upload) request(ctx context.Context, t *target, body io.Reader, size int64) (*http.Request, error) {
	addr, err := t.base()
	if err != nil {
		return nil, err
	}
	addr = addr.JoinPath("/api/v1/import/prometheus")
	q := addr.Query()
	for _, l := range u.labels {
		if name, value, ok := strings.Cut(l, "="); !ok || name == "" || value == "" {
			return nil, fmt.Errorf("--label: %q is not name=value", l)
		}
		q.Add("extra_label", l)
	}
	addr.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, addr.String(), body)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", u.contentType())
	if enc := u.contentEncoding(); enc != "" {
		req.Header.Set("Content-Encoding", enc)
	}
	return req, nil
}

func importFile(s streams, t *target, u upload) error {
	file, size, err := u.open()
	if err != nil {
		return err
	}
	defer file.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p := &progress{r: file, total: size, start: time.Now()}
	req, err := u.request(ctx, t, io.NopCloser(p), size)
	if err != nil {
		return err
	}
	rt, err := t.transport()
	if err != nil {
		return err
	}
	endBar := p.show(s.err)
	resp, err := (&http.Client{Transport: rt}).Do(req)
	endBar()
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("import: interrupted; what was sent may have been stored, and can be sent again")
		}
		return fmt.Errorf("import: %w", err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return fmt.Errorf("import: read the answer: %w", err)
	}
	fmt.Fprintf(s.out, "sent %s in %s\n", size10(p.sent.Load()), time.Since(p.start).Round(time.Millisecond))
	return reportImport(s, resp, reply)
}

// importReply is what the server answers to an import.
type importReply struct {
	Error string `json:"error"`
	Data  struct {
		Lines    int64 `json:"lines"`
		Samples  int64 `json:"samples"`
		Rejected []struct {
			ID      string `json:"id"`
			Message string `json:"message"`
			Samples int64  `json:"samples"`
			First   string `json:"first"`
		} `json:"rejected"`
	} `json:"data"`
}

// reportImport prints what was stored and what was not, and fails if the server says so.
func reportImport(s streams, resp *http.Response, reply []byte) error {
	var r importReply
	if err := json.Unmarshal(reply, &r); err != nil {
		return fmt.Errorf("import: the server answered %s: %s", resp.Status, strings.TrimSpace(string(reply)))
	}
	fmt.Fprintf(s.out, "stored %d samples of %d lines\n", r.Data.Samples, r.Data.Lines)
	for _, rej := range r.Data.Rejected {
		fmt.Fprintf(s.err, "barograph: refused %d samples: %s: %s: %s\n", rej.Samples, rej.ID, rej.Message, rej.First)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("import: the server answered %s: %s", resp.Status, r.Error)
	}
	return nil
}
