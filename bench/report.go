package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
)

// line is a row of the table: a figure of each target, less is better.
type line struct {
	what  string
	unit  string
	value func(r *result) float64
}

func lines(c *config) []line {
	ls := []line{
		{"ingest, server CPU", "ns/sample", func(r *result) float64 { return float64(r.cpu) / float64(r.samples) }},
		{"peak RSS", "B/series", func(r *result) float64 { return float64(r.peakRSS) / float64(r.series) }},
		{"on disk when settled", "B/sample", func(r *result) float64 { return float64(r.onDisk) / float64(r.samples) }},
		{"written to disk, all of it", "B/sample", func(r *result) float64 { return float64(r.written) / float64(r.samples) }},
		{"query, server CPU, geometric mean", "ms", func(r *result) float64 { return geometricMean(r.queries) }},
		{"acknowledged samples that can't be read", "samples", func(r *result) float64 { return float64(r.missing) }},
	}
	if c.killAfter > 0 {
		ls = append(ls,
			line{"first answer after kill -9", "s", func(r *result) float64 { return r.restart.Seconds() }},
			line{"acknowledged samples lost by it", "samples", func(r *result) float64 { return float64(r.lost) }},
		)
	}
	return ls
}

func geometricMean(ds []time.Duration) float64 {
	sum := 0.0
	for _, d := range ds {
		// Below a tenth of a millisecond a tick of 10 ms says nothing.
		sum += math.Log(math.Max(d.Seconds()*1000, 0.1))
	}
	return math.Exp(sum / float64(len(ds)))
}

// report prints the table, with ratios of the first target to the others.
func (c *config) report(out io.Writer, rec *recording, results []*result) error {
	fmt.Fprintf(out, "%d series (%d at a time), %d samples over %s, %d of a series in a request, %d a request, %d connections; %s/%s, %d CPUs, %s.\n\n",
		rec.series, c.plan.series, rec.samples, c.span, c.plan.perSeries, c.plan.batch, c.plan.conns,
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), time.Now().UTC().Format("2006-01-02"))
	head, rule := "| |", "| --- |"
	for i, r := range results {
		head += " " + r.target + " " + r.version + " |"
		rule += " ---: |"
		if i > 0 {
			head += " ratio to it |"
			rule += " ---: |"
		}
	}
	fmt.Fprintln(out, head+"\n"+rule)
	for _, l := range lines(c) {
		row := fmt.Sprintf("| %s, %s |", l.what, l.unit)
		for i, r := range results {
			row += " " + figure(l.value(r)) + " |"
			if i > 0 {
				row += " " + ratio(l.value(results[0]), l.value(r)) + " |"
			}
		}
		fmt.Fprintln(out, row)
	}
	fmt.Fprintln(out)
	c.reportAnswers(out, results)
	for _, r := range results {
		if c.killAfter > 0 {
			fmt.Fprintf(out, "%s had acknowledged %d samples when it was killed.\n", r.target, r.atRisk)
		}
		for _, f := range r.failures {
			fmt.Fprintf(out, "%s failed: %s\n", r.target, f)
		}
	}
	if results[0].missing+results[0].lost > 0 {
		return fmt.Errorf("%s does not hold what it acknowledged", results[0].target)
	}
	return nil
}

// reportAnswers compares everyone's answers with Prometheus'.
func (c *config) reportAnswers(out io.Writer, results []*result) {
	var reference *result
	for _, r := range results {
		if r.target == "prometheus" {
			reference = r
		}
	}
	if reference == nil {
		return
	}
	for _, r := range results {
		if r == reference {
			continue
		}
		same := 0
		var differences []string
		per := len(r.answers) / len(queries)
		for i := range r.answers {
			if d := differ(r.answers[i], reference.answers[i]); d == "" {
				same++
			} else {
				differences = append(differences, queries[i/per]+": "+d)
			}
		}
		fmt.Fprintf(out, "%s: %d of %d answers equal Prometheus' to 1e-9.\n", r.target, same, len(r.answers))
		if r.target == "barograph" {
			for _, d := range differences {
				fmt.Fprintln(out, "-", d)
			}
		}
	}
}

func figure(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// version asks the binary, or Debian's records where the binary does not know.
func version(ctx context.Context, t target) string {
	arg := "--version"
	if t.name == "barograph" {
		arg = "version"
	}
	out, _ := exec.CommandContext(ctx, t.binary, arg).CombinedOutput()
	if v := firstVersion(string(out)); v != "" {
		return v
	}
	out, _ = exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", t.name).Output()
	return firstVersion(string(out))
}

func firstVersion(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ',' || r == '-' }) {
		if v := strings.TrimPrefix(word, "v"); v != "" && v[0] >= '0' && v[0] <= '9' {
			return v
		}
	}
	return ""
}

// countByInstance adds the samples of an encoded request to want. It reads only what the encoder
// writes.
func countByInstance(want map[string]int64, body []byte) error {
	raw, err := s2.Decode(nil, body)
	if err != nil {
		return fmt.Errorf("%w: %w", errRequest, err)
	}
	return fields(raw, func(ts []byte) error {
		instance, n := "", int64(0)
		err := fields(ts, func(field []byte) error {
			if field[0] != 1<<3|2 { // A sample begins with its value, a label with its name.
				n++
				return nil
			}
			var parts []string
			err := fields(field, func(s []byte) error { parts = append(parts, string(s)); return nil })
			if len(parts) == 2 && parts[0] == "instance" {
				instance = parts[1]
			}
			return err
		})
		want[instance] += n
		return err
	})
}

// fields calls fn for each length-delimited field.
func fields(b []byte, fn func([]byte) error) error {
	for len(b) > 0 {
		n, k := binary.Uvarint(b[1:])
		if k <= 0 || uint64(len(b)-1-k) < n {
			return errRequest
		}
		if err := fn(b[1+k : 1+k+int(n)]); err != nil {
			return err
		}
		b = b[1+k+int(n):]
	}
	return nil
}
