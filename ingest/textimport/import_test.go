package textimport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/intake"
	"github.com/barograph-db/barograph/ingest/limit"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// recorder is an ingest.Appender that writes down what it is given.
type recorder struct {
	lines    []string
	metadata []frame.Metadata
	batches  int
	keys     map[ingest.Key]string
	err      error
}

func (r *recorder) Append(_ context.Context, b *ingest.Batch) (ingest.Result, error) {
	if r.err != nil {
		return ingest.Result{}, r.err
	}
	r.batches++
	if r.keys == nil {
		r.keys = map[ingest.Key]string{}
	}
	res := ingest.Result{Rejections: b.Rejections}
	for i := range b.Runs {
		run := &b.Runs[i]
		pairs, err := b.Source.AppendPairs(nil, i)
		if err != nil {
			res.Rejections.Add(ingest.BadLine, ingest.Counts{Samples: 1}, err.Error)
			continue
		}
		set, err := series.FromPairs(nil, pairs)
		if err != nil {
			res.Rejections.Add(ingest.DuplicateLabel, ingest.Counts{Samples: 1}, err.Error)
			continue
		}
		if old, ok := r.keys[run.Key]; ok && old != string(set) {
			panic("one key for two series: " + old + " " + string(set))
		}
		r.keys[run.Key] = string(set)
		for j := run.Floats.From; j < run.Floats.To; j++ {
			r.lines = append(r.lines, printSample(set, b.Times[j], b.Values[j]))
			res.Written.Samples++
		}
		for _, e := range b.Exemplars[run.Exemplars.From:run.Exemplars.To] {
			r.lines = append(r.lines, printExemplar(e.Labels, e.T, e.V))
			res.Written.Exemplars++
		}
	}
	r.metadata = append(r.metadata, b.Metadata...)
	res.Written.Metadata += len(b.Metadata)
	return res, nil
}

func printSample(l series.Labels, t int64, v float64) string {
	return fmt.Sprintf("%s %d %x", l, t, math.Float64bits(v))
}

func printExemplar(l series.Labels, t int64, v float64) string {
	return fmt.Sprintf("# %s %d %x", l, t, math.Float64bits(v))
}

var buffers = sync.Pool{New: func() any { b := make([]byte, pieceBytes); return &b }}

func newImporter(r *recorder, openMetrics bool) *importer {
	im := &importer{next: r, buf: *buffers.Get().(*[]byte), hash: ingest.NewHasher(), openMetrics: openMetrics, now: 42}
	if err := im.extraLabels(nil); err != nil {
		panic(err)
	}
	return im
}

// reference reads body with Prometheus' own parser.
func reference(body []byte, openMetrics bool) (lines []string, err error) {
	p := textparse.NewPromParser(bytes.Clone(body), labels.NewSymbolTable(), false)
	if openMetrics {
		p = textparse.NewOpenMetricsParser(bytes.Clone(body), labels.NewSymbolTable())
	}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var ls labels.Labels
		p.Labels(&ls)
		if name, twice := ls.HasDuplicateLabelNames(); twice {
			return lines, fmt.Errorf("label %s twice", name)
		}
		_, at, v := p.Series()
		t := int64(42)
		if at != nil {
			t = *at
		}
		lines = append(lines, printSample(series.FromLabels(nil, ls), t, v))
		var e exemplar.Exemplar
		if p.Exemplar(&e) {
			if !e.HasTs {
				e.Ts = t
			}
			lines = append(lines, printExemplar(series.FromLabels(nil, e.Labels), e.Ts, e.Value))
		}
	}
}

const text = `# HELP http_requests_total The total number of HTTP requests.\nwith \\ "more"
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400",}    3 1395066363000
  # a comment

msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf 3982045
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="1"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
# TYPE rpc summary
rpc{quantile="1"} 4773
spaced	{ a = "b" , c="d" }	NaN	5
{"utf8.name", "a b"="ü"} -0
{a="b","name"}1e-3
empty_braces{} 16
`

const open = `# TYPE foo counter
# UNIT foo_seconds seconds
# HELP foo with "quotes" and \n
foo_total{a="b"} 17.0 1520879607.789 # {id="counter-test"} 5 1520879607.5
foo_created{a="b"} 1520872607.123
# TYPE h histogram
h_bucket{le="2"} 3 # {} 4
h_bucket{le="+Inf"} NaN 1.5 # {a="x"} 2
{"utf8 name",b="c"} 1
# EOF
`

func TestSameAsPrometheus(t *testing.T) {
	for _, c := range []struct {
		body string
		open bool
	}{{text, false}, {open, true}} {
		want, err := reference([]byte(c.body), c.open)
		require.NoError(t, err)
		r := &recorder{}
		im := newImporter(r, c.open)
		require.NoError(t, im.run(t.Context(), strings.NewReader(c.body)))
		require.Empty(t, im.result.Rejections, im.result.Rejections.String())
		require.Equal(t, want, r.lines)
	}
}

func TestMetadata(t *testing.T) {
	r := &recorder{}
	require.NoError(t, newImporter(r, false).run(t.Context(), strings.NewReader(text)))
	require.Equal(t, []frame.Metadata{
		{Metric: "http_requests_total", Type: "counter", Help: "The total number of HTTP requests.\nwith \\ \"more\""},
		{Metric: "http_request_duration_seconds", Type: "histogram"},
		{Metric: "rpc", Type: "summary"},
	}, r.metadata)
	r = &recorder{}
	require.NoError(t, newImporter(r, true).run(t.Context(), strings.NewReader(open)))
	require.Contains(t, r.metadata, frame.Metadata{Metric: "foo_seconds", Type: "unknown", Unit: "seconds"})
}

func TestBadLinesAreNamedAndSkipped(t *testing.T) {
	for _, line := range []string{
		"a", "a ", "a x", "a 1 x", "a 1 2 3", "a 1 -5", "a 0x1p", "a 1_0", "{} 1", `{a="b"} 1`, "a{b} 1", `a{b="c" 1`, `a{b="c} 1`, `a{"b"} 1`,
		`a{b="c"d="e"} 1`, `a{1b="c"} 1`, "9a 1", "a-b 1", "# TYPE a thing", "# TYPE", "# TYPE 9 gauge", "# HELP a \xff", "a{b=\"\xff\"} 1", `a{b="1",b="2"} 1`, "\xff 1",
	} {
		r := &recorder{}
		im := newImporter(r, false)
		require.NoError(t, im.run(t.Context(), strings.NewReader("first 1\n"+line+"\nlast 2")))
		if line == "# TYPE" || strings.HasPrefix(line, "{} ") || strings.HasPrefix(line, `{a=`) {
			continue // A comment; or left to the check of labels.
		}
		require.Len(t, im.result.Rejections, 1, line)
		require.Len(t, r.lines, 2, line)
		if im.result.Rejections[0].Reason == ingest.BadLine {
			require.Contains(t, im.result.Rejections[0].First, "line 2: ", line)
		}
	}
	for _, line := range []string{
		"", "# comment", "a  1", "a 1 ", "a 1  2", "a 1 NaN", " a 1", "# EOF ", "# TYPE a untyped", "# UNIT a s", "a 1 # {}", "a 1 # {} x", "a 1 # {a} 1", "a 1 # {} 1 2 3", "a 1 #{} 1", "a{b=\"c\", d=\"e\"} 1", "a\t1",
	} {
		r := &recorder{}
		im := newImporter(r, true)
		require.NoError(t, im.run(t.Context(), strings.NewReader("first 1\n"+line+"\nlast 2\n# EOF\n")))
		require.Len(t, im.result.Rejections, 1, line)
		require.Contains(t, im.result.Rejections[0].First, "line 2", line)
	}
	im := newImporter(&recorder{}, true)
	require.ErrorContains(t, im.run(t.Context(), strings.NewReader("a 1\n")), "# EOF")
	im = newImporter(&recorder{}, true)
	require.NoError(t, im.run(t.Context(), strings.NewReader("a 1\n# EOF\na 2\n")))
	require.Contains(t, im.result.Rejections.String(), "line 3")
}

func TestLongLines(t *testing.T) {
	r := &recorder{}
	im := newImporter(r, false)
	long := `a{b="` + strings.Repeat("x", 3*pieceBytes) + `"} 1`
	require.NoError(t, im.run(t.Context(), strings.NewReader("first 1\n"+long+"\nlast 2\nagain 3")))
	require.Len(t, r.lines, 3)
	require.Equal(t, ingest.LineTooLong, im.result.Rejections[0].Reason)
	require.Equal(t, int64(4), im.line)
}

// TestPieces reads a body longer than a piece, in reads of odd sizes.
func TestPieces(t *testing.T) {
	var b strings.Builder
	for i := range 120_000 {
		fmt.Fprintf(&b, "metric_name{n=\"%d\"} %d %d\n", i%1000, i, 1_700_000_000_000+i)
	}
	r := &recorder{}
	im := newImporter(r, false)
	require.NoError(t, im.run(t.Context(), &odd{strings.NewReader(b.String())}))
	require.Equal(t, 120_000, im.result.Written.Samples)
	require.Len(t, r.lines, 120_000)
	require.Len(t, r.keys, 1000)
	require.Greater(t, r.batches, 120_000/batchSamples-1)
}

type odd struct{ r io.Reader }

func (o *odd) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 777)]) }

func TestExtraLabels(t *testing.T) {
	r := &recorder{}
	im := newImporter(r, false)
	im.extra = nil
	require.NoError(t, im.extraLabels([]string{"job=x=y", "a=over"}))
	require.NoError(t, im.run(t.Context(), strings.NewReader("m{a=\"b\"} 1")))
	require.Equal(t, []string{printSample(series.FromStrings("__name__", "m", "a", "over", "job", "x=y"), 42, 1)}, r.lines)
	for _, bad := range [][]string{{"x"}, {"=x"}, {"a=1", "a=2"}} {
		require.ErrorContains(t, newImporter(r, false).extraLabels(bad), "err-barograph-bad-parameter")
	}
}

func serve(t *testing.T, next ingest.Appender, o limit.Options, body []byte, url string, header ...string) (int, answer, http.Header) {
	t.Helper()
	limits, err := limit.New(o, nil)
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	New(next, intake.New(limits, nil)).ServeHTTP(w, r)
	var a answer
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a), w.Body.String())
	return w.Code, a, w.Header()
}

func TestHandler(t *testing.T) {
	const url = "/api/v1/import/prometheus?extra_label=job=x"
	gz, zs, sn := new(bytes.Buffer), new(bytes.Buffer), new(bytes.Buffer)
	zw, err := zstd.NewWriter(zs)
	require.NoError(t, err)
	for _, w := range []io.WriteCloser{gzip.NewWriter(gz), zw, snappy.NewBufferedWriter(sn)} {
		_, err := io.WriteString(w, text)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	for _, c := range []struct {
		encoding, contentType string
		body                  []byte
		want                  int
	}{
		{"", "", []byte(text), 200},
		{"", "text/plain; version=0.0.4", []byte(text), 200},
		{"", "application/x-www-form-urlencoded", []byte(text), 200},
		{"gzip", "", gz.Bytes(), 200},
		{"x-gzip", "", gz.Bytes(), 200},
		{"zstd", "", zs.Bytes(), 200},
		{"snappy", "", sn.Bytes(), 200},
		{"snappy", "", snappy.Encode(nil, []byte(text)), 200},
		{"", "application/openmetrics-text; version=1.0.0; charset=utf-8", []byte(open), 200},
		{"br", "", []byte(text), 415},
		{"", "application/json", []byte(text), 415},
		{"", "application/openmetrics-text; version=2.0.0", []byte(open), 415},
		{"gzip", "", []byte(text), 400},
		{"zstd", "", []byte(text), 400},
		{"snappy", "", []byte("\xff\xff\xff"), 400},
		{"gzip", "", gz.Bytes()[:gz.Len()-9], 400},
		{"", "", []byte("a 1\nb\nc 3"), 400},
		{"", "application/openmetrics-text", []byte("a 1\n"), 400},
	} {
		status, a, _ := serve(t, &recorder{}, limit.Options{}, c.body, url, "Content-Encoding", c.encoding, "Content-Type", c.contentType)
		require.Equal(t, c.want, status, "%+v %+v", c, a)
		if c.want == 200 {
			require.Equal(t, "success", a.Status)
			require.Greater(t, a.Data.Samples, 4)
		} else {
			require.Equal(t, "bad_data", a.ErrorType)
			require.Contains(t, a.Error, "err-barograph-")
		}
	}
	_, a, _ := serve(t, &recorder{}, limit.Options{}, []byte("a 1\nb\nc 3"), url)
	require.Equal(t, 2, a.Data.Samples)
	require.Equal(t, int64(3), a.Data.Lines)
	require.Equal(t, []rejected{{ID: "err-barograph-bad-line", Message: "a line can't be parsed", Samples: 1, First: "line 2: no value after the series"}}, a.Data.Rejected)

	status, a, h := serve(t, &recorder{err: errors.New("full")}, limit.Options{}, []byte("a 1"), url)
	require.Equal(t, 503, status)
	require.Equal(t, "unavailable", a.ErrorType)
	require.NotEmpty(t, h.Get("Retry-After"))
	status, _, _ = serve(t, &recorder{}, limit.Options{}, []byte("a 1"), "/?extra_label=x")
	require.Equal(t, 400, status)
}

func TestBombs(t *testing.T) {
	bomb := bytes.Repeat([]byte("a 1\n"), 1<<20)
	gz, zs := new(bytes.Buffer), new(bytes.Buffer)
	g := gzip.NewWriter(gz)
	z, err := zstd.NewWriter(zs)
	require.NoError(t, err)
	for _, w := range []io.WriteCloser{g, z} {
		_, err := w.Write(bomb)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	for encoding, body := range map[string][]byte{"gzip": gz.Bytes(), "zstd": zs.Bytes(), "snappy": snappy.Encode(nil, bomb), "identity": bomb} {
		status, _, _ := serve(t, &recorder{}, limit.Options{ImportBytes: 1 << 20, DecodedBytes: 1 << 20, BodyBytes: 1 << 20}, body, "/", "Content-Encoding", encoding)
		require.Equal(t, 413, status, encoding)
	}
}

var leading = regexp.MustCompile(`(?m)^[ \t]+`)

func FuzzImport(f *testing.F) {
	f.Add([]byte(text), false)
	f.Add([]byte(open), true)
	f.Add([]byte("a{b=\"\\\"}\",c=\"\\\\\"} 1\r\n"), false)
	f.Add([]byte("{\"a\",\"b\"=\"c\"} 1\n# EOF"), true)
	f.Fuzz(func(t *testing.T, body []byte, openMetrics bool) {
		r := &recorder{}
		im := newImporter(r, openMetrics)
		defer buffers.Put(&im.buf)
		err := im.run(t.Context(), bytes.NewReader(body))
		if err != nil || len(im.result.Rejections) > 0 || bytes.ContainsAny(body, "\x00\r") {
			return
		}
		// What is taken without complaint means what it means to Prometheus.
		if !openMetrics { // There, spaces before a name become part of it.
			body = leading.ReplaceAll(body, nil)
		}
		want, err := reference(body, openMetrics)
		if err != nil {
			return // Some is refused there that makes sense here; a quote across lines ends the comparison.
		}
		require.Equal(t, want, r.lines)
	})
}

func BenchmarkImport(b *testing.B) {
	var buf bytes.Buffer
	for i := range 5000 {
		fmt.Fprintf(&buf, "node_cpu_seconds_total{cpu=\"%d\",mode=\"user\",instance=\"host-%d:9100\",job=\"node\"} %d.25 %d\n", i%16, i/16, i, time.Now().UnixMilli())
	}
	b.SetBytes(int64(buf.Len()))
	b.ReportAllocs()
	for b.Loop() {
		im := newImporter(nil, false)
		im.next = discard{}
		if err := im.run(b.Context(), bytes.NewReader(buf.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/5000, "ns/sample")
}

type discard struct{}

func (discard) Append(context.Context, *ingest.Batch) (ingest.Result, error) {
	return ingest.Result{}, nil
}
