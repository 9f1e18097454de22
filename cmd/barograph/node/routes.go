package node

import (
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/intake"
	"github.com/barograph-db/barograph/ingest/remotewrite"
	"github.com/barograph-db/barograph/ingest/textimport"
	"github.com/barograph-db/barograph/querier/api"
)

// route is one URL, as a pattern of http.ServeMux.
type route struct {
	pattern string
	handler http.Handler
}

// earlyRoutes answer from the first moment to the last. A GET pattern answers HEAD too.
func (n *Node) earlyRoutes() []route {
	f := func(h http.HandlerFunc) http.Handler { return h }
	return []route{
		{"GET /{$}", f(n.landing)},
		{"GET /-/healthy", f(healthy)},
		{"GET /health", f(healthy)},
		{"GET /-/ready", f(n.ready)},
		{"GET /ready", f(n.ready)},
		{"POST /-/reload", n.lifecycle(n.serveReload)},
		{"PUT /-/reload", n.lifecycle(n.serveReload)},
		{"POST /-/quit", n.lifecycle(n.serveQuit)},
		{"PUT /-/quit", n.lifecycle(n.serveQuit)},
		{"GET /metrics", promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 8})},
		{"GET /debug/pprof/", f(pprof.Index)},
		{"GET /debug/pprof/cmdline", f(pprof.Cmdline)},
		{"GET /debug/pprof/profile", f(pprof.Profile)},
		{"GET /debug/pprof/symbol", f(pprof.Symbol)},
		{"POST /debug/pprof/symbol", f(pprof.Symbol)},
		{"GET /debug/pprof/trace", f(pprof.Trace)},
	}
}

// writeRoutes are the ways in; the gate closes them all when the node stops.
func (n *Node) writeRoutes(in *intake.Intake, a ingest.Appender, g *gate) []route {
	remote := g.guard(n.acknowledged(remotewrite.New(a, in)))
	text := g.guard(n.acknowledged(textimport.New(a, in)))
	return []route{
		{"POST /api/v1/write", remote},
		{"POST /api/v1/push", remote},
		{"POST /api/v1/receive", remote},
		{"POST /api/v1/import/prometheus", text},
	}
}

// acknowledged says in each answer what a 2xx means: how many nodes have the samples, and where.
func (n *Node) acknowledged(next http.Handler) http.Handler {
	mode := "local; wal=" + n.cfg.Storage.WALSync
	if n.cfg.Cluster.Name != "" {
		mode = "quorum; wal=" + n.cfg.Storage.WALSync
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Barograph-Ack", mode)
		next.ServeHTTP(w, r)
	})
}

// queryRoutes are Prometheus' HTTP API.
func (n *Node) queryRoutes(a *api.API) []route {
	var routes []route
	for _, r := range a.Routes() {
		h := bodyDeadline(time.Duration(n.options.Web.BodyTimeout), r.Handler)
		routes = append(routes, route{r.Method + " " + r.Path, h})
	}
	return routes
}

// waitingRoutes are those of a node that is not ready yet, while the log is read and while it waits for its
// place in a cluster: all but the early ones are unavailable rather than not there.
func (n *Node) waitingRoutes() []route {
	return append(n.earlyRoutes(), route{"/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		unavailable(w, "starting", "Barograph is starting.")
	})})
}

// mux serves routes.
func (n *Node) mux(routes []route) *http.ServeMux {
	m := http.NewServeMux()
	for _, r := range routes {
		m.Handle(r.pattern, r.handler)
	}
	return m
}

// root serves the routes of the moment at /, under /prometheus and under --web.route-prefix.
func (n *Node) root() http.Handler {
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.handler.Load().ServeHTTP(w, r) })
	prefixes := []string{"/prometheus"}
	if p := n.cfg.Web.RoutePrefix; p != "/" && !slices.Contains(prefixes, p) {
		prefixes = append(prefixes, p)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, p := range prefixes {
			switch {
			case r.URL.Path == p:
				http.Redirect(w, r, p+"/", http.StatusFound)
				return
			case strings.HasPrefix(r.URL.Path, p+"/"):
				http.StripPrefix(p, serve).ServeHTTP(w, r)
				return
			}
		}
		serve.ServeHTTP(w, r)
	})
}
