package node

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the generated docs")

const docsDir = "../../../docs"

// generated compares a document with what the code makes of it, or rewrites it.
func generated(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(docsDir, name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, string(have), "docs/%s is stale: run `make generate`", name)
}

// recording remembers what is registered: a vector without children gathers nothing.
type recording struct {
	*prometheus.Registry
	mu         sync.Mutex
	collectors []prometheus.Collector
}

func (r *recording) Register(c prometheus.Collector) error {
	r.mu.Lock()
	r.collectors = append(r.collectors, c)
	r.mu.Unlock()
	return r.Registry.Register(c)
}

func (r *recording) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

var descPattern = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "((?:[^"\\]|\\.)*)",.* variableLabels: \{([^}]*)\}\}$`)

func TestDocsOfMetrics(t *testing.T) {
	reg := &recording{Registry: prometheus.NewRegistry()}
	cfg := config(t, "barograph: {ha: {enabled: true}}")
	cfg.Cluster = ClusterConfig{
		Name: "docs", AdvertiseHost: "127.0.0.1", GossipAddress: freePort(t), RPCAddress: freePort(t), ReplicationFactor: 1,
	}
	n, err := newNode(cfg, reg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	require.Eventually(t, n.Ready, 10*time.Second, time.Millisecond)
	gathered, err := reg.Gather()
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-done)

	types := map[string]string{}
	for _, f := range gathered {
		types[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	var lines []string
	for _, c := range reg.collectors {
		descs := make(chan *prometheus.Desc, 1000)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			m := descPattern.FindStringSubmatch(d.String())
			require.NotNil(t, m, d.String())
			name, help, labels := m[1], m[2], m[3]
			if !strings.HasPrefix(name, "barograph_") {
				continue
			}
			require.NotEmpty(t, help, name)
			require.Regexp(t, `\.$`, help, "%s: the help is a sentence", name)
			typ := types[name]
			switch c.(type) {
			case *prometheus.CounterVec:
				typ = "counter"
			case *prometheus.GaugeVec:
				typ = "gauge"
			case *prometheus.HistogramVec:
				typ = "histogram"
			}
			require.NotEmpty(t, typ, name)
			if typ == "counter" {
				require.True(t, strings.HasSuffix(name, "_total"), "counter %s does not end in _total", name)
			}
			labels = strings.ReplaceAll(labels, ",", ", ")
			lines = append(lines, fmt.Sprintf("| `%s` | %s | %s | %s |", name, typ, labels, help))
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	generated(t, "metrics.md", `# Metrics

A node shows these at `+"`/metrics`"+`, stores them itself (job `+"`barograph`"+`), and has beside them `+"`go_*` and `process_*`"+` of the Go
runtime and the process. Made by `+"`make generate`"+`.

| Metric | Type | Labels | |
|---|---|---|---|
`+strings.Join(lines, "\n")+"\n")
}

// freePort is an address of this machine that is free for TCP and UDP.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		u, err := net.ListenPacket("udp", l.Addr().String())
		l.Close()
		if err == nil {
			u.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return ""
}

// Every key of the configuration file stands in docs/configuration.md as `path.to.key`.
func TestDocsOfKeys(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(docsDir, "configuration.md"))
	require.NoError(t, err)
	var keys func(prefix string, typ reflect.Type)
	keys = func(prefix string, typ reflect.Type) {
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name == "" {
				continue
			}
			path := prefix + name
			if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Section]() {
				keys(path+".", f.Type)
				continue
			}
			require.Contains(t, string(text), "`"+path+"`", "docs/configuration.md does not tell of %s", path)
		}
	}
	keys("", reflect.TypeFor[File]())
}

// The limits of the packages can all be set, and messages name the keys as the file has them.
func TestEveryLimitHasAKey(t *testing.T) {
	yamlNames := func(typ reflect.Type) []string {
		var names []string
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			names = append(names, name)
		}
		return names
	}
	ours := yamlNames(reflect.TypeFor[Limits]())
	for _, name := range yamlNames(reflect.TypeOf(Limits{}.options())) {
		require.Contains(t, ours, name)
	}
	// Each field set in the file reaches the package.
	for _, c := range []struct{ file, opts reflect.Value }{
		{reflect.New(reflect.TypeFor[Limits]()).Elem(), reflect.Value{}},
		{reflect.New(reflect.TypeFor[Query]()).Elem(), reflect.Value{}},
	} {
		for i := range c.file.NumField() {
			switch f := c.file.Field(i); {
			case f.CanInt():
				f.SetInt(7)
			case f.Type() == reflect.TypeFor[Room]():
				f.Set(reflect.ValueOf(Room{Bytes: 7, Given: true}))
			}
		}
		switch v := c.file.Interface().(type) {
		case Limits:
			c.opts = reflect.ValueOf(v.options())
		case Query:
			c.opts = reflect.ValueOf(v.options())
		}
		for i := range c.opts.NumField() {
			if f := c.opts.Field(i); f.CanInt() {
				require.Equal(t, int64(7), f.Int(), "%s.%s", c.opts.Type(), c.opts.Type().Field(i).Name)
			}
		}
	}
}
