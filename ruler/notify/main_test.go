package notify

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := tryParse(text)
	require.NoError(t, err)
	return c
}

// tryParse reads the value of alerting in a text where it stands under that key.
func tryParse(text string) (*Config, error) {
	var doc struct {
		Alerting yaml.Node `yaml:"alerting"`
	}
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, err
	}
	return Parse(&doc.Alerting, "/etc/barograph")
}

// received is an alert as an Alertmanager gets it.
type received struct {
	Labels           map[string]string
	StartsAt, EndsAt string
}

// network is one in memory: hosts answer requests while they are up.
type network struct {
	mu    sync.Mutex
	hosts map[string]*host
}

// host is a fake Alertmanager.
type host struct {
	answer func(http.ResponseWriter, *http.Request) // nil takes the alerts
	conns  chan net.Conn
	server *http.Server
	served chan struct{}

	mu       sync.Mutex
	requests []*http.Request
	alerts   []received
}

func newNetwork() *network { return &network{hosts: map[string]*host{}} }

func (n *network) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	h := n.hosts[addr]
	n.mu.Unlock()
	if h == nil {
		return nil, &net.OpError{Op: "dial", Err: io.ErrClosedPipe}
	}
	ours, theirs := net.Pipe()
	select {
	case h.conns <- theirs:
		return ours, nil
	case <-h.served:
		return nil, io.ErrClosedPipe
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// up starts a host, which takes alerts unless it has an answer of its own.
func (n *network) up(t *testing.T, addr string, answer func(http.ResponseWriter, *http.Request)) *host {
	h := &host{answer: answer, conns: make(chan net.Conn), served: make(chan struct{})}
	h.server = &http.Server{Handler: h}
	go func() {
		defer close(h.served)
		_ = h.server.Serve(listener{h})
	}()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[addr] = h
	t.Cleanup(func() {
		h.server.Close()
		<-h.served
	})
	return h
}

type listener struct{ h *host }

func (l listener) Accept() (net.Conn, error) {
	c, ok := <-l.h.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }
func (l listener) Close() error {
	defer func() { _ = recover() }() // It is closed twice.
	close(l.h.conns)
	return nil
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h.mu.Lock()
	h.requests = append(h.requests, r)
	answer := h.answer
	h.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	var alerts []received
	if err != nil || json.Unmarshal(body, &alerts) != nil {
		http.Error(w, "not alerts", http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alerts = append(h.alerts, alerts...)
}

func (h *host) setAnswer(answer func(http.ResponseWriter, *http.Request)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

// names are those of the alerts that came, with a ! where they are resolved.
func (h *host) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for _, a := range h.alerts {
		name := a.Labels[labels.AlertName]
		if ends, err := time.Parse(time.RFC3339, a.EndsAt); err == nil && !ends.After(time.Now()) {
			name += "!"
		}
		names = append(names, name)
	}
	return names
}

func (h *host) tried() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.requests)
}

// with runs f beside a Notifier that is configured so.
func with(t *testing.T, o Options, config string, f func(n *Notifier, reg *prometheus.Registry)) {
	reg := prometheus.NewRegistry()
	o.Registerer = reg
	n, err := New(o)
	require.NoError(t, err)
	require.NoError(t, n.Apply(parse(t, config), labels.EmptyLabels()))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = n.Run(ctx)
	}()
	f(n, reg)
	cancel()
	<-ended
}

func firing(name string) Alert {
	now := time.Now()
	return Alert{Labels: labels.FromStrings(labels.AlertName, name), StartsAt: now, EndsAt: now.Add(4 * time.Minute)}
}

func resolved(name string) Alert {
	a := firing(name)
	a.EndsAt = time.Now()
	return a
}

// total sums the values of a metric.
func total(t *testing.T, reg *prometheus.Registry, name string, want ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metric:
		for _, m := range f.GetMetric() {
			for _, w := range want {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetValue() == w
				}
				if !found {
					continue metric
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func value(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	return testutil.ToFloat64(c)
}
