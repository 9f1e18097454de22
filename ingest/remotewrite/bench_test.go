package remotewrite

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/barograph-db/barograph/ingest/limit"
)

// cpuTime is what the process has used of the processors: on a busy machine it says more than the
// clock on the wall.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// labelsOf are those of a node_exporter's series, some 150 bytes on the wire.
func labelsOf(i int) [][2]string {
	return [][2]string{
		{"__name__", fmt.Sprintf("node_network_receive_bytes_%02d_total", i%50)},
		{"cluster", "eu-west-1"},
		{"device", fmt.Sprintf("eth%d", i/50%10)},
		{"instance", fmt.Sprintf("10.%d.%d.17:9100", i/128000, i/500%256)},
		{"job", "node"},
		{"zone", fmt.Sprintf("eu-west-1%c", 'a'+i%3)},
	}
}

const perRequest = 2000

// corpus has all series, one sample each, in requests of the version.
func corpus(b *testing.B, v version, count int, order []int, compress bool) (bodies [][]byte) {
	b.Helper()
	t := time.Now().UnixMilli()
	for at := 0; at < count; at += perRequest {
		var body []byte
		var err error
		if v == v1 {
			q := &prompb.WriteRequest{}
			for _, i := range order[at : at+perRequest] {
				ts := prompb.TimeSeries{Samples: []prompb.Sample{{Value: rand.Float64() * 1e6, Timestamp: t}}}
				for _, l := range labelsOf(i) {
					ts.Labels = append(ts.Labels, prompb.Label{Name: l[0], Value: l[1]})
				}
				q.Timeseries = append(q.Timeseries, ts)
			}
			body, err = q.Marshal()
		} else {
			q := &writev2.Request{}
			symbols := writev2.NewSymbolTable()
			for _, i := range order[at : at+perRequest] {
				ts := writev2.TimeSeries{Samples: []writev2.Sample{{Value: rand.Float64() * 1e6, Timestamp: t}}}
				for _, l := range labelsOf(i) {
					ts.LabelsRefs = append(ts.LabelsRefs, symbols.Symbolize(l[0]), symbols.Symbolize(l[1]))
				}
				ts.Metadata = writev2.Metadata{Type: 1, HelpRef: symbols.Symbolize("Network device statistic receive_bytes.")}
				q.Timeseries = append(q.Timeseries, ts)
			}
			q.Symbols = symbols.Symbols()
			body, err = q.Marshal()
		}
		if err != nil {
			b.Fatal(err)
		}
		if compress {
			body = snappy.Encode(nil, body)
		}
		bodies = append(bodies, body)
	}
	return bodies
}

func inOrder(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func perSample(b *testing.B, f func(i int)) {
	b.ReportAllocs()
	begin, i := cpuTime(), 0
	for b.Loop() {
		f(i)
		i++
	}
	b.ReportMetric(float64(cpuTime()-begin)/float64(i*perRequest), "cpu-ns/sample")
}

func BenchmarkDecode(b *testing.B) {
	for _, v := range []version{v1, v2} {
		b.Run(fmt.Sprintf("v%d", v), func(b *testing.B) {
			bodies := corpus(b, v, 100_000, inOrder(100_000), false)
			d := newDecoder()
			perSample(b, func(i int) {
				if err := d.decode(v, bodies[i%len(bodies)]); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// nobody is a ResponseWriter that does not look.
type nobody struct{ h http.Header }

func (n nobody) Header() http.Header       { return n.h }
func (nobody) Write(p []byte) (int, error) { return len(p), nil }
func (nobody) WriteHeader(int)             {}

// BenchmarkPipeline is all from the compressed body to the frame, with a store that does nothing.
func BenchmarkPipeline(b *testing.B) {
	for _, v := range []version{v1, v2} {
		for _, count := range []int{100_000, 1_000_000} {
			for _, random := range []bool{false, true} {
				b.Run(fmt.Sprintf("v%d/series=%d/random=%t", v, count, random), func(b *testing.B) {
					order := inOrder(count)
					rand.New(rand.NewPCG(1, 1)).Shuffle(count, func(i, j int) {
						if random {
							order[i], order[j] = order[j], order[i]
						}
					})
					n := newNode(b, limit.Options{})
					n.discard = true
					send := func(body []byte) {
						r, _ := http.NewRequest(http.MethodPost, "/", io.NopCloser(bytes.NewReader(body)))
						r.ContentLength = int64(len(body))
						if v == v2 {
							r.Header.Set("Content-Type", type2)
						}
						n.handler.ServeHTTP(nobody{http.Header{}}, r)
					}
					for _, body := range corpus(b, v, count, inOrder(count), true) {
						send(body) // Creates the series.
					}
					bodies := corpus(b, v, count, order, true)
					if len(n.refs) != count {
						b.Fatalf("%d series", len(n.refs))
					}
					perSample(b, func(i int) { send(bodies[i%len(bodies)]) })
				})
			}
		}
	}
}
