package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
)

// manager is what the handlers need of a Cluster.
type manager interface {
	Status() Status
	Drain(ctx context.Context, node string) error
	Remove(ctx context.Context, node string, force bool) error
}

// Errors of what an operator asks for.
var (
	ErrUnknownNode = placement.ErrUnknownNode
	ErrAmbiguous   = errors.New("several nodes have that name: give the ID")
	ErrAlive       = errors.New("the node is alive: drain it and stop it first")
	ErrNoRegion    = errors.New("the region is not founded yet, or this node is not taken in")
	errNoAdmin     = errors.New("this node may not change the cluster: start it with --web.enable-admin-api, or ask one that was")
)

// Route is one URL, as a pattern of http.ServeMux.
type Route struct {
	Pattern string
	Handler http.Handler
}

// changeTimeout is how long an operator's change may take to be agreed upon.
const changeTimeout = 15 * time.Second

// Routes are the URLs under /api/v1/cluster. Answers have the envelope of Prometheus' API. What
// changes something is refused to pages of other sites, and to all unless admin is set.
func (c *Cluster) Routes(admin bool) []Route { return routes(c, admin) }

func routes(m manager, admin bool) []Route {
	sites := http.NewCrossOriginProtection()
	change := func(do func(context.Context, *http.Request) error) http.Handler {
		if !admin {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerError(w, errNoAdmin) })
		}
		return sites.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
			defer cancel()
			if err := do(ctx, r); err != nil {
				answerError(w, err)
				return
			}
			answer(w, http.StatusOK, envelope{Status: "success"})
		}))
	}
	return []Route{
		{"GET /api/v1/cluster/status", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, envelope{Status: "success", Data: m.Status()})
		})},
		{"POST /api/v1/cluster/drain", change(func(ctx context.Context, r *http.Request) error {
			return m.Drain(ctx, r.FormValue("node"))
		})},
		{"POST /api/v1/cluster/remove", change(func(ctx context.Context, r *http.Request) error {
			return m.Remove(ctx, r.FormValue("node"), r.FormValue("force") == "true")
		})},
	}
}

type envelope struct {
	Status    string `json:"status"`
	Data      any    `json:"data,omitempty"`
	ErrorType string `json:"errorType,omitempty"`
	Error     string `json:"error,omitempty"`
}

func answer(w http.ResponseWriter, status int, e envelope) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(e) // Who asked has gone.
}

func answerError(w http.ResponseWriter, err error) {
	status, kind := http.StatusServiceUnavailable, "unavailable"
	switch {
	case errors.Is(err, errNoAdmin):
		status = http.StatusForbidden // The kind is that of the admin API.
	case errors.Is(err, ErrUnknownNode):
		status, kind = http.StatusNotFound, "not_found"
	case errors.Is(err, ErrAmbiguous), errors.Is(err, ErrAlive), errors.Is(err, placement.ErrLastReplica):
		status, kind = http.StatusUnprocessableEntity, "execution"
	}
	answer(w, status, envelope{Status: "error", ErrorType: kind, Error: err.Error()})
}

// findNode returns the node that an operator means: by its ID, or by a name that only one has.
func findNode(p *placement.Placement, text string) (placement.Node, error) {
	if id, err := placement.ParseNodeID(text); err == nil {
		if n, ok := p.Node(id); ok {
			return n, nil
		}
	}
	var found []placement.Node
	for _, n := range p.Nodes {
		if n.Name == text && text != "" {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return placement.Node{}, errors.Join(ErrUnknownNode, errors.New("there are "+names(p)))
	case 1:
		return found[0], nil
	}
	return placement.Node{}, ErrAmbiguous
}

func names(p *placement.Placement) string {
	var list []string
	for _, n := range p.Nodes {
		list = append(list, n.Name)
	}
	return strings.Join(list, ", ")
}
