package chunk

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/series"
)

// requireExact encodes the samples in every encoding and in every way to scale, and requires each to
// come back to the bit.
func requireExact(t testing.TB, ts []int64, vs []float64) {
	t.Helper()
	requireRoundTrip(t, ts, vs)
	var x XORAppender
	var st Builder
	for i, v := range vs {
		x.Append(ts[i], v)
		require.NoError(t, st.Append(series.Sample{T: ts[i], ST: ts[0] - 1, V: v}))
	}
	short := Chunk{}
	gotT, gotV := []int64(nil), []float64(nil)
	for _, c := range st.Close([]Chunk{x.Close()}) {
		var err error
		if gotT, gotV, err = Decode(gotT, gotV, c); c.Enc == XOR {
			short = c
			require.Equal(t, bitsOf(vs), bitsOf(gotV))
			gotT, gotV = gotT[:0], gotV[:0]
		}
		require.NoError(t, err)
	}
	require.Equal(t, ts, gotT)
	require.Equal(t, bitsOf(vs), bitsOf(gotV))

	small := Shrink(short)
	back, err := ToLibrary(small)
	require.NoError(t, err)
	gotT, gotV = gotT[:0], gotV[:0]
	for _, c := range back {
		require.NotEqual(t, chunkenc.EncNone, c.Enc.Library())
		gotT, gotV, err = Decode(gotT, gotV, c)
		require.NoError(t, err)
	}
	require.Equal(t, ts, gotT)
	require.Equal(t, bitsOf(vs), bitsOf(gotV))
	requireEveryScale(t, vs)
	requireHistograms(t, ts, vs)
}

// requireEveryScale does so for scales that would not have been chosen.
func requireEveryScale(t testing.TB, vs []float64) {
	var e encoder
	decoded := make([]float64, len(vs))
	check := func(form uint8, b []byte) {
		rest, err := decodeValues(decoded, b, form)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, bitsOf(vs), bitsOf(decoded))
	}
	e.split.plan(vs)
	check(e.split.form, e.split.append(nil, vs))
	s := &e.by[0]
	for _, way := range []func(){
		func() { s.bits(vs) },
		func() { s.fill(vs, 0) }, func() { s.fill(vs, 2) }, func() { s.fill(vs, maxExponent) },
		func() { s.times(vs, 1) }, func() { s.times(vs, 3) }, func() { s.times(vs, maxExponent) },
	} {
		way()
		s.weigh()
		check(s.form, s.append(nil, vs))
	}
}

// requireHistograms has the values as the fields of float histograms and, by their bits, of others.
func requireHistograms(t testing.TB, ts []int64, vs []float64) {
	var b Builder
	for i, v := range vs {
		bits := math.Float64bits(v)
		s := series.Sample{T: ts[i], H: &histogram.Histogram{
			CounterResetHint: histogram.GaugeType, Count: bits, ZeroCount: bits >> 7, Sum: v,
			PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []int64{int64(bits), -int64(bits >> 3)},
			NegativeSpans: []histogram.Span{{Offset: -3, Length: 1}}, NegativeBuckets: []int64{int64(i)},
		}}
		if i >= len(vs)/2 {
			s.H, s.FH = nil, &histogram.FloatHistogram{
				CounterResetHint: histogram.GaugeType, Count: v, ZeroCount: -v, Sum: v / 3,
				PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []float64{v * 2, 1 / v},
			}
		}
		require.NoError(t, b.Append(s))
	}
	chunks := b.Close(nil)
	packed, err := Recode(nil, chunks)
	require.NoError(t, err)
	want, got := bitsOfHistograms(t, chunks), bitsOfHistograms(t, packed)
	require.Equal(t, want, got)
}

func bitsOfHistograms(t testing.TB, chunks []Chunk) (all []uint64) {
	for _, s := range walkHistograms(t, chunks) {
		all = append(all, uint64(s.T))
		if h := s.H; h != nil {
			all = append(all, h.Count, h.ZeroCount, math.Float64bits(h.Sum), uint64(h.CounterResetHint))
			for _, x := range append(h.PositiveBuckets[:len(h.PositiveBuckets):len(h.PositiveBuckets)], h.NegativeBuckets...) {
				all = append(all, uint64(x))
			}
			continue
		}
		all = append(all, bitsOf([]float64{s.FH.Count, s.FH.ZeroCount, s.FH.Sum})...)
		all = append(all, bitsOf(s.FH.PositiveBuckets)...)
	}
	return all
}

// TestExactRandomBits takes random bit patterns, and such in all but some of their bits.
func TestExactRandomBits(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for i := range 300 {
		n := 1 + r.IntN(300)
		ts, vs := everyFifteen(n), make([]float64, n)
		mask, fixed := uint64(math.MaxUint64)>>r.IntN(64)<<r.IntN(64), r.Uint64()
		for j := range vs {
			vs[j] = math.Float64frombits(r.Uint64()&mask ^ fixed&^mask)
			if i%4 == 0 && r.IntN(4) == 0 {
				vs[j] = float64(r.IntN(1000)) / 100
			}
		}
		requireExact(t, ts, vs)
	}
}

// TestExactFuzzCorpus takes what the fuzz tests begin with.
func TestExactFuzzCorpus(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, seed))
		for range 20 {
			ts, vs := walk(r, 1+r.IntN(300), true)
			if last := len(ts) - 1; ts[last]-ts[0] >= 0 {
				requireExact(t, ts, vs)
			}
		}
	}
	for name := range fullPrecision {
		requireExact(t, everyFifteen(480), fullColumn(name, 480))
	}
	goldenColumns(func(_ string, ts []int64, vs []float64) { requireExact(t, ts, vs) })
}

// TestExactNodeExporter takes the series of a real node_exporter.
func TestExactNodeExporter(t *testing.T) {
	path, err := exec.LookPath("prometheus-node-exporter")
	if err != nil {
		t.Skip("prometheus-node-exporter is not installed")
	}
	url := startExporter(t, path)
	const scrapes = 60
	ts, all := everyFifteen(scrapes), map[string][]float64{}
	for range scrapes {
		scrapeInto(t, url, all)
	}
	checked, bytesXOR, bytesDecimal := 0, 0, 0
	for _, vs := range all {
		if len(vs) != scrapes { // It came or went.
			continue
		}
		requireExact(t, ts, vs)
		var x XORAppender
		for i, v := range vs {
			x.Append(ts[i], v)
		}
		c, _ := EncodeFloats(nil, ts, vs)
		checked, bytesXOR, bytesDecimal = checked+1, bytesXOR+x.Size(), bytesDecimal+len(c.Data)
	}
	t.Logf("%d series of %d samples: %.3f bytes a sample, XOR %.3f", checked, scrapes,
		float64(bytesDecimal)/float64(checked*scrapes), float64(bytesXOR)/float64(checked*scrapes))
	require.Greater(t, checked, 100)
}

// startExporter starts the exporter for the test's time and returns its address.
func startExporter(t *testing.T, path string) string {
	cmd := exec.Command(path, "--web.listen-address=127.0.0.1:0")
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	found, done := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(done)
		address := regexp.MustCompile(`Listening on.*address=(\S+)`)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if m := address.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Kill())
		<-done
		_ = cmd.Wait() // It was killed.
	})
	select {
	case address := <-found:
		return "http://" + address + "/metrics"
	case <-done:
		t.Fatal("the exporter ended")
	case <-time.After(time.Minute):
		t.Fatal("the exporter does not listen")
	}
	return ""
}

func scrapeInto(t *testing.T, url string, all map[string][]float64) {
	resp, err := http.Get(url)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	for line := range bytes.Lines(body) {
		name, text, ok := cutLast(strings.TrimSpace(string(line)))
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		v, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		all[name] = append(all[name], v)
	}
	http.DefaultClient.CloseIdleConnections()
}

func cutLast(line string) (before, after string, ok bool) {
	at := strings.LastIndexByte(line, ' ')
	if at < 0 {
		return "", "", false
	}
	return line[:at], line[at+1:], true
}
