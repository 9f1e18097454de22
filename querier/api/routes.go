package api

import "net/http"

// Route is one URL.
type Route struct {
	// Method and Path as http.ServeMux patterns have them; the path is without a prefix.
	Method, Path string
	Handler      http.Handler
}

// endpoint is one row of the table: a handler and where it is reached.
type endpoint struct {
	name    string // label of the metrics
	path    string
	methods string // any of G(ET), P(OST), U for PUT
	handle  func(*API, request) (answer, error)
	flags   flag
}

type flag uint8

const (
	// early endpoints answer before the storage is ready.
	early flag = 1 << iota
	// admin endpoints are refused unless enabled, and to pages of other sites always.
	admin
	// reads says that the endpoint reads series and is no query, which has its own turn.
	reads
)

// endpoints are all URLs that answer with the JSON envelope.
var endpoints = []endpoint{
	{"query", "/api/v1/query", "GP", (*API).query, 0},
	{"query_range", "/api/v1/query_range", "GP", (*API).queryRange, 0},
	{"query_exemplars", "/api/v1/query_exemplars", "GP", (*API).queryExemplars, reads},
	{"format_query", "/api/v1/format_query", "GP", (*API).formatQuery, early},
	{"parse_query", "/api/v1/parse_query", "GP", (*API).parseQuery, early},

	{"series", "/api/v1/series", "GP", (*API).series, reads},
	{"labels", "/api/v1/labels", "GP", (*API).labelNames, reads},
	{"label_values", "/api/v1/label/{name}/values", "G", (*API).labelValues, reads},
	{"metadata", "/api/v1/metadata", "G", (*API).metadata, reads},

	{"targets", "/api/v1/targets", "G", (*API).targets, early},
	{"targets_metadata", "/api/v1/targets/metadata", "G", (*API).targetsMetadata, early},
	{"targets_relabel_steps", "/api/v1/targets/relabel_steps", "G", (*API).relabelSteps, early},
	{"scrape_pools", "/api/v1/scrape_pools", "G", (*API).scrapePools, early},
	{"scrape_pools_config", "/api/v1/scrape_pools/config", "G", (*API).scrapePoolConfig, early},
	{"rules", "/api/v1/rules", "G", (*API).rules, early},
	{"alerts", "/api/v1/alerts", "G", (*API).alerts, early},
	{"alertmanagers", "/api/v1/alertmanagers", "G", (*API).alertmanagers, early},

	{"status_config", "/api/v1/status/config", "G", (*API).statusConfig, early},
	{"status_flags", "/api/v1/status/flags", "G", (*API).statusFlags, early},
	{"status_runtimeinfo", "/api/v1/status/runtimeinfo", "G", (*API).statusRuntime, early},
	{"status_buildinfo", "/api/v1/status/buildinfo", "G", (*API).statusBuild, early},
	{"status_tsdb", "/api/v1/status/tsdb", "G", (*API).statusTSDB, reads},
	{"status_tsdb_blocks", "/api/v1/status/tsdb/blocks", "G", (*API).statusBlocks, reads},
	{"status_walreplay", "/api/v1/status/walreplay", "G", (*API).statusWALReplay, early},
	{"status_self_metrics", "/api/v1/status/self_metrics", "G", (*API).selfMetrics, early},
	{"features", "/api/v1/features", "G", (*API).features, early},
	{"notifications", "/api/v1/notifications", "G", (*API).notifications, early},
	{"notifications_live", "/api/v1/notifications/live", "G", (*API).notificationsLive, early},

	{"delete_series", "/api/v1/admin/tsdb/delete_series", "PU", (*API).deleteSeries, admin},
	{"clean_tombstones", "/api/v1/admin/tsdb/clean_tombstones", "PU", (*API).cleanTombstones, admin},
	{"snapshot", "/api/v1/admin/tsdb/snapshot", "PU", (*API).snapshot, admin},
	{"flush", "/api/v1/admin/storage/flush", "P", (*API).flush, admin},
	{"seal", "/api/v1/admin/storage/seal", "P", (*API).seal, admin},
}

var methodNames = map[rune]string{'G': http.MethodGet, 'P': http.MethodPost, 'U': http.MethodPut}

// Routes returns every URL of the API. OPTIONS is answered with 204 and without a CORS header:
// pages of other sites may not read.
func (a *API) Routes() []Route {
	var routes []Route
	for _, e := range endpoints {
		h := a.edge(e.name, e.flags, a.envelope(e))
		for _, m := range e.methods {
			routes = append(routes, Route{methodNames[m], e.path, h})
		}
		routes = append(routes, Route{http.MethodOptions, e.path, http.HandlerFunc(noContent)})
	}
	return append(routes,
		Route{http.MethodPost, "/api/v1/read", a.edge("read", 0, http.HandlerFunc(a.read))},
		Route{http.MethodOptions, "/api/v1/read", http.HandlerFunc(noContent)},
		Route{http.MethodGet, "/federate", a.edge("federate", 0, http.HandlerFunc(a.federate))},
	)
}

// Register gives handle a pattern and handler for every URL under each prefix ("" or
// "/prometheus"). http.ServeMux.Handle is such a function.
func (a *API) Register(handle func(pattern string, h http.Handler), prefixes ...string) {
	for _, r := range a.Routes() {
		for _, prefix := range prefixes {
			handle(r.Method+" "+prefix+r.Path, r.Handler)
		}
	}
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
