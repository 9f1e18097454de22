package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"
)

const (
	hostileLimit     = 512 << 20
	hostileInstances = 400
	hostilePerTarget = 100 // series of each instance
	hostileSeries    = hostileInstances * hostilePerTarget
	hostileHistory   = 60 // samples of each series
	hostileInterval  = 15 * time.Second
	// hostileWriteEvery makes hundreds of writes in a phase of a few seconds, so that the slowest hundredth
	// of them is more than the one that was slowest.
	hostileWriteEvery = 10 * time.Millisecond
)

// hostileLoad writes the samples of instances, one request for each.
type hostileLoad struct {
	addr   string
	labels [][]prompb.Label // of one instance's series, without the instance
}

func newHostileLoad(addr string) *hostileLoad {
	l := &hostileLoad{addr: addr}
	add := func(name string, pairs ...string) {
		ls := []prompb.Label{{Name: "__name__", Value: name}}
		for i := 0; i < len(pairs); i += 2 {
			ls = append(ls, prompb.Label{Name: pairs[i], Value: pairs[i+1]})
		}
		l.labels = append(l.labels, ls)
	}
	for _, path := range []string{"/", "/api/v1/query", "/api/v1/write", "/login"} {
		for _, le := range []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"} {
			add("http_request_duration_seconds_bucket", "handler", path, "job", "shop", "le", le)
		}
		for _, code := range []string{"200", "404", "500"} {
			add("http_requests_total", "code", code, "handler", path, "job", "shop")
		}
	}
	for i := len(l.labels); i < hostilePerTarget; i++ {
		add(fmt.Sprintf("node_metric_%02d", i), "device", fmt.Sprintf("eth%d", i%7), "job", "node")
	}
	return l
}

// request has samples of one instance at the times.
func (l *hostileLoad) request(instance int, times ...time.Time) []byte {
	req := prompb.WriteRequest{Timeseries: make([]prompb.TimeSeries, len(l.labels))}
	name := prompb.Label{Name: "instance", Value: fmt.Sprintf("host-%04d.example.org:9100", instance)}
	for i, ls := range l.labels {
		ts := &req.Timeseries[i]
		ts.Labels = append(append(ts.Labels, ls...), name)
		slices.SortFunc(ts.Labels, func(a, b prompb.Label) int { return strings.Compare(a.Name, b.Name) })
		for _, at := range times {
			ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: at.UnixMilli(), Value: float64(at.Unix()%100_000*int64(i%13+1)) + float64(instance)})
		}
	}
	raw, err := req.Marshal()
	if err != nil {
		panic(err)
	}
	return snappy.Encode(nil, raw)
}

// write sends a request and returns how long the answer took.
func (l *hostileLoad) write(body []byte) (time.Duration, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+l.addr+"/api/v1/write", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	begin := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("write: status %d: %s", resp.StatusCode, text)
	}
	return time.Since(begin), err
}

// fill writes the history of all instances up to a time.
func (l *hostileLoad) fill(t *testing.T, to time.Time) {
	t.Helper()
	times := make([]time.Time, hostileHistory)
	for i := range times {
		times[i] = to.Add(-time.Duration(hostileHistory-1-i) * hostileInterval)
	}
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 4 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < hostileInstances; i = int(next.Add(1)) - 1 {
				if _, err := l.write(l.request(i, times...)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.False(t, t.Failed(), "the history was not written")
}

// latencies are those of the writes of one phase.
type latencies []time.Duration

func (l latencies) String() string {
	if len(l) == 0 {
		return "none"
	}
	sorted := slices.Sorted(slices.Values(l))
	at := func(q float64) time.Duration {
		return sorted[int(q*float64(len(sorted)-1))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d writes, p50 %v, p90 %v, p99 %v, max %v", len(l), at(.5), at(.9), at(.99), at(1))
}

func (l latencies) p99() time.Duration { return slices.Sorted(slices.Values(l))[len(l)*99/100] }

// steady writes one sample of each instance's series after the other until ctx ends. It does so in a process
// of its own, as senders do: one that shares its processors with the attackers would wait for them,
// whatever the node does.
func (l *hostileLoad) steady(ctx context.Context, t *testing.T) latencies {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), writerEnv+"="+l.addr)
	cmd.Cancel = func() error {
		_ = cmd.Process.Signal(os.Interrupt)
		return os.ErrProcessDone // Wait for it, and take its exit for what it is.
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var all latencies
	require.NoError(t, json.Unmarshal(out, &all))
	return all
}

// writerEnv is the variable that makes this program a writer to the address in it.
const writerEnv = "BAROGRAPH_E2E_WRITE_TO"

// writeSteadily writes until it is interrupted, then prints the latencies. As a sender does, it
// does not wait for an answer before it begins the next request.
func writeSteadily(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var (
		l      = newHostileLoad(addr)
		mu     sync.Mutex
		all    latencies
		failed error
		wg     sync.WaitGroup
	)
	tick := time.NewTicker(hostileWriteEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			wg.Wait()
			return errors.Join(failed, json.NewEncoder(os.Stdout).Encode(all))
		case now := <-tick.C:
			body := l.request(i%hostileInstances, now)
			wg.Go(func() {
				took, err := l.write(body)
				mu.Lock()
				defer mu.Unlock()
				all, failed = append(all, took), errors.Join(failed, err)
			})
		}
	}
}

// attack is one request that asks for more than there is.
type attack struct {
	name   string
	method string
	path   string
	form   url.Values
	body   []byte
}

// attacks are all hostile requests, about times up to now.
func attacks(now time.Time) []attack {
	var all []attack
	instant := func(name, query string) {
		all = append(all, attack{name: "instant " + name, path: "/api/v1/query", form: url.Values{"query": {query}, "time": {fmt.Sprint(now.Unix())}}})
	}
	ranged := func(name, query string, span, step time.Duration) {
		all = append(all, attack{name: "range " + name, path: "/api/v1/query_range", form: url.Values{
			"query": {query}, "start": {fmt.Sprint(now.Add(-span).Unix())}, "end": {fmt.Sprint(now.Unix())}, "step": {fmt.Sprint(step.Seconds())},
		}})
	}
	const every = `{__name__=~".+"}`
	for name, query := range map[string]string{
		"everything":              every,
		"everything sorted":       `sort(` + every + `)`,
		"everything raw":          every + `[1d]`,
		"many letters":            `{instance=~".*.*.*.*.*x?.+"}`,
		"cross join":              every + ` * on (instance) group_right () ` + every,
		"cross join of names":     every + ` * on (__name__, instance) group_left () ` + every,
		"or":                      every + strings.Repeat(` or `+every, 300),
		"or of names":             every + strings.Repeat(` or label_replace(`+every+`, "x", "y", "", "")`, 100),
		"and":                     every + strings.Repeat(` and `+every, 300),
		"quantile of everything":  `quantile_over_time(0.99, ` + every + `[1d])`,
		"mad of everything":       `stddev_over_time(` + every + `[1d])`,
		"values of everything":    `count_values("v", ` + every + `)`,
		"top":                     `topk(1e9, ` + every + `)`,
		"bottom by everything":    `bottomk by (instance, __name__, le) (1e9, ` + every + `)`,
		"labels that double":      strings.Repeat(`label_join(`, 40) + every + strings.Repeat(`, "x", ",", "instance", "x", "x")`, 40),
		"labels that are long":    `label_replace(` + every + `, "x", "` + strings.Repeat("long", 50_000) + `", "", "")`,
		"labels replaced":         strings.Repeat(`label_replace(`, 30) + every + strings.Repeat(`, "x", "$1$1$1$1", "x", "(.*)")`, 30),
		"deep":                    strings.Repeat("(", 900) + every + strings.Repeat(")", 900),
		"too deep":                strings.Repeat("(", 100_000) + every + strings.Repeat(")", 100_000),
		"long":                    `up{x!~"` + strings.Repeat("a", 200_000) + `"}`,
		"arguments":               `label_join(up, "a", ","` + strings.Repeat(`,"b"`, 150_000) + ")",
		"matchers":                `{__name__=~".+",` + strings.Repeat(`instance!="a",`, 70_000) + "}",
		"regexes":                 `{__name__=~".+",` + strings.Repeat(`instance!~".*a.{80}",`, 100) + "}",
		"nested subqueries":       `max_over_time(max_over_time(max_over_time(` + every + `[1h:1s])[1h:10s])[1h:1m])`,
		"subquery":                `quantile_over_time(0.5, ` + every + `[1h:1s])`,
		"subquery of centuries":   `max_over_time(` + every + `[290y:1ms])`,
		"subquery as the answer":  every + `[1h:1s]`,
		"histogram quantile":      `histogram_quantile(0.9, ` + every + `)`,
		"histogram quantile rate": `histogram_quantile(0.9, rate(` + every + `[1h]))`,
		"absent":                  `absent_over_time(` + every + `[1d])`,
		"sums by everything":      `sum(` + every + `) by (instance, __name__, handler, le, code)`,
		"many sums":               `sum(` + every + `)` + strings.Repeat(` + sum(`+every+`)`, 200),
		"arithmetic":              every + strings.Repeat(` * 2`, 500),
		"right deep":              strings.Repeat(every+" + on (instance, __name__, handler, le, code, device) (", 50) + every + strings.Repeat(")", 50),
	} {
		instant(name, query)
	}
	for name, query := range map[string]string{
		"everything":         every,
		"quantile":           `quantile_over_time(0.9, ` + every + `[5m])`,
		"values":             `count_values("v", ` + every + `)`,
		"rate":               `rate(` + every + `[5m])`,
		"ratio":              `rate(` + every + `[5m]) / ` + every,
		"or":                 every + strings.Repeat(` or `+every, 50),
		"top":                `topk(1e9, ` + every + `)`,
		"labels":             `label_replace(` + every + `, "x", "$1$1", "instance", "(.*)")`,
		"sums":               `sum by (instance) (` + every + `)` + strings.Repeat(` + sum by (instance) (`+every+`)`, 50),
		"holt":               `deriv(` + every + `[15m]) + predict_linear(` + every + `[15m], 3600)`,
		"histogram quantile": `histogram_quantile(0.99, http_request_duration_seconds_bucket)`,
		"timestamp":          `timestamp(` + every + `)`,
	} {
		ranged(name, query, 15*time.Minute, time.Second)
		ranged(name+" with ten thousand steps", query, 10_000*time.Second, time.Second)
	}
	get := func(name, path string, form url.Values) {
		all = append(all, attack{name: name, method: http.MethodGet, path: path, form: form})
	}
	get("series of everything", "/api/v1/series", url.Values{"match[]": {every}})
	get("labels of everything", "/api/v1/labels", url.Values{"match[]": {every}})
	get("values of everything", "/api/v1/label/instance/values", url.Values{"match[]": {every}})
	get("values of no matcher", "/api/v1/label/__name__/values", nil)
	get("federate everything", "/federate", url.Values{"match[]": {every}})
	get("status", "/api/v1/status/tsdb", url.Values{"limit": {"10000"}})
	get("exemplars", "/api/v1/query_exemplars", url.Values{"query": {every}, "start": {"0"}, "end": {fmt.Sprint(now.Unix())}})
	post := func(name, path string, form url.Values) {
		all = append(all, attack{name: name, path: path, form: form})
	}
	many := make([]string, 10_000)
	for i := range many {
		many[i] = fmt.Sprintf(`{instance=~".*%d.*"}`, i)
	}
	for _, path := range []string{"/api/v1/series", "/api/v1/labels"} {
		post("10k selectors to "+path, path, url.Values{"match[]": many})
		post("1k selectors to "+path, path, url.Values{"match[]": many[:1000]})
		post("10k matchers to "+path, path, url.Values{"match[]": {every[:len(every)-1] + strings.Repeat(`, instance=~".*1.*"`, 10_000) + "}"}})
		post("large regexes to "+path, path, url.Values{"match[]": slices.Repeat([]string{`{instance=~".*a.{900}.*"}`}, 1000)})
		post("everything often to "+path, path, url.Values{"match[]": slices.Repeat([]string{every}, 1000)})
	}
	post("form of 16 MiB", "/api/v1/query", url.Values{"query": {strings.Repeat("x", 16<<20)}})
	for name, typ := range map[string]prompb.ReadRequest_ResponseType{
		"samples": prompb.ReadRequest_SAMPLES, "chunks": prompb.ReadRequest_STREAMED_XOR_CHUNKS,
	} {
		one := &prompb.Query{EndTimestampMs: now.UnixMilli(), Matchers: []*prompb.LabelMatcher{{Type: prompb.LabelMatcher_RE, Name: "__name__", Value: ".+"}}}
		for _, n := range []int{1, 10} {
			raw, err := (&prompb.ReadRequest{
				Queries: slices.Repeat([]*prompb.Query{one}, n), AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{typ},
			}).Marshal()
			if err != nil {
				panic(err)
			}
			all = append(all, attack{name: fmt.Sprintf("remote read of %s, %d times", name, n), path: "/api/v1/read", body: snappy.Encode(nil, raw)})
		}
	}
	slices.SortFunc(all, func(a, b attack) int { return strings.Compare(a.name, b.name) })
	return all
}

// reply is what became of an attack.
type reply struct {
	status int
	text   string // the beginning
	bytes  int64
	took   time.Duration
	err    error
	// streamed says that the answer is a stream of messages.
	streamed bool
}

// fault says what is wrong with an answer.
func (r *reply) fault() string {
	switch r.status {
	case http.StatusOK:
		// A stream that has begun can only be cut off; whoever reads it takes that for an error.
		if r.err != nil && !(r.streamed && errors.Is(r.err, io.ErrUnexpectedEOF)) {
			return "the answer ended early"
		}
		if strings.HasPrefix(r.text, "{") && !strings.HasPrefix(r.text, `{"status":"success"`) {
			return "a success that is none"
		}
	case http.StatusUnprocessableEntity, http.StatusTooManyRequests:
		if strings.Contains(r.text, "max-query-bytes") && !strings.Contains(r.text, "reading ") {
			return "what was too much is not named"
		}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
	case http.StatusServiceUnavailable:
		if !strings.Contains(r.text, "deadline exceeded") && !strings.Contains(r.text, "timed out") {
			return "unavailable without a timeout"
		}
	default:
		return "neither answered nor refused"
	}
	return ""
}

// run sends the request and reads the answer to its end, keeping little of it.
func (a *attack) run(addr string) reply {
	begin := time.Now()
	method, body, target := http.MethodPost, a.body, "http://"+addr+a.path
	switch {
	case a.method == http.MethodGet:
		method = http.MethodGet
		target += "?" + a.form.Encode()
	case body == nil:
		body = []byte(a.form.Encode())
	}
	req, err := http.NewRequest(method, target, bytes.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return reply{err: err, took: time.Since(begin)}
	}
	defer resp.Body.Close()
	head, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	r := reply{status: resp.StatusCode, text: string(head), bytes: int64(len(head)), err: err}
	r.streamed = strings.HasPrefix(resp.Header.Get("Content-Type"), "application/x-streamed-protobuf")
	if err == nil {
		var n int64
		n, r.err = io.Copy(io.Discard, resp.Body)
		r.bytes += n
	}
	r.took = time.Since(begin)
	return r
}

// Hostile queries do not take a node down that may have little memory, nor keep it from taking
// writes.
func TestHostileQueries(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	limit := limitMemory(t, hostileLimit)
	t.Log("memory is limited by", limit.how)
	dir, addr := t.TempDir(), freeAddr(t)
	cmd := exec.Command(binary, "serve", "--storage.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--query.timeout=10s")
	limit.wrap(cmd)
	p := launchCommand(t, "http://"+addr+"/-/ready", filepath.Join(dir, "log"), cmd)

	begin := time.Now()
	load := newHostileLoad(addr)
	load.fill(t, begin)
	t.Logf("%d series with %d samples each after %v", hostileSeries, hostileHistory, time.Since(begin).Round(time.Millisecond))

	during := func(f func()) latencies {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		var l latencies
		wg.Go(func() { l = load.steady(ctx, t) })
		f()
		cancel()
		wg.Wait()
		return l
	}
	calm := during(func() { <-time.After(5 * time.Second) })
	list := attacks(time.Now())
	one := during(func() { attackAll(t, addr, list, 4) })
	many := during(func() { attackAll(t, addr, list, 64) })

	t.Logf("no attack: %v", calm)
	t.Logf("4 attacks at once: %v", one)
	t.Logf("64 attacks at once: %v", many)
	t.Logf("peak memory: %d MiB of %d", limit.peak()>>20, hostileLimit>>20)
	require.False(t, t.Failed(), "all writes and attacks were answered as they should be")
	for _, l := range []latencies{one, many} {
		require.NotEmpty(t, l)
		require.Less(t, l.p99(), 10*time.Second, "writes do not wait for queries")
	}
	require.Zero(t, limit.kills(t))
	select {
	case <-p.done:
		t.Fatal("the node has ended")
	default:
	}
	a := newAPI(t, addr)
	v, _, _, err := a.Query(context.Background(), `count({job=~"shop|node"})`, time.Now())
	require.NoError(t, err)
	require.Equal(t, model.SampleValue(hostileSeries), v.(model.Vector)[0].Value)
	eventually(t, 10*time.Second, "all memory of queries is given back", func() bool {
		resp, err := client.Get("http://" + addr + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(text), "\nbarograph_querier_held_bytes 0\n")
	})
}

// attackAll runs so many attacks at a time, and fails for answers that are neither right nor a
// refusal.
func attackAll(t *testing.T, addr string, list []attack, atOnce int) {
	t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			a := &list[i]
			r := a.run(addr)
			t.Logf("%-50s %d %8v %9d bytes", a.name, r.status, r.took.Round(time.Millisecond), r.bytes)
			if fault := r.fault(); fault != "" {
				t.Errorf("%s: %s: status %d, %v, %.400q", a.name, fault, r.status, r.err, r.text)
			}
		})
	}
	wg.Wait()
}
