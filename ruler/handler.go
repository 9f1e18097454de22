package ruler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/barograph-db/barograph/ruler/ledger"
)

// Route is one URL, as a pattern of http.ServeMux.
type Route struct {
	Pattern string
	Handler http.Handler
}

// changeTimeout is how long a change may take to be agreed upon.
const changeTimeout = 15 * time.Second

// Routes are the rule API: the URLs under /config/v1/rules, as Mimir has them. Groups are YAML. What
// changes something is refused to pages of other sites.
func (r *Ruler) Routes() []Route {
	sites := http.NewCrossOriginProtection()
	change := func(do func(ctx context.Context, req *http.Request, w http.ResponseWriter) error) http.Handler {
		return sites.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			ctx, cancel := context.WithTimeout(req.Context(), changeTimeout)
			defer cancel()
			if err := do(ctx, req, w); err != nil {
				refuse(w, err)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusAccepted)
			_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": nil, "errorType": "", "error": ""}) // Who asked has gone.
		}))
	}
	remove := change(func(ctx context.Context, req *http.Request, _ http.ResponseWriter) error {
		return r.RemoveGroup(ctx, req.PathValue("namespace"), req.PathValue("group"))
	})
	return []Route{
		{"GET /config/v1/rules", http.HandlerFunc(r.serveAll)},
		{"GET /config/v1/rules/{namespace}", http.HandlerFunc(r.serveNamespace)},
		{"GET /config/v1/rules/{namespace}/{group}", http.HandlerFunc(r.serveGroup)},
		{"POST /config/v1/rules/{namespace}", change(r.takeGroup)},
		{"DELETE /config/v1/rules/{namespace}", remove},
		{"DELETE /config/v1/rules/{namespace}/{group}", remove},
	}
}

func (r *Ruler) takeGroup(ctx context.Context, req *http.Request, w http.ResponseWriter) error {
	most := r.settings.Load().Rules.MaxBytes
	text, err := io.ReadAll(http.MaxBytesReader(w, req.Body, int64(most)))
	if err != nil {
		return &InvalidError{fmt.Errorf("read the group: %w", err)}
	}
	return r.SetGroup(ctx, req.PathValue("namespace"), text)
}

// refuse answers an error.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	var (
		invalid *InvalidError
		large   *http.MaxBytesError
	)
	switch {
	case errors.As(err, &large):
		status = http.StatusRequestEntityTooLarge
	case errors.As(err, &invalid):
		status = http.StatusBadRequest
	case errors.Is(err, ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, ErrFromFile):
		status = http.StatusConflict
	default:
		err = fmt.Errorf("the change is not agreed upon, though it may yet be: %w", err)
	}
	http.Error(w, err.Error(), status)
}

func (r *Ruler) serveAll(w http.ResponseWriter, _ *http.Request) {
	serveYAML(w, byNamespace(r.Managed("")))
}

func (r *Ruler) serveNamespace(w http.ResponseWriter, req *http.Request) {
	groups := r.Managed(req.PathValue("namespace"))
	if len(groups) == 0 {
		refuse(w, ErrNotFound)
		return
	}
	serveYAML(w, byNamespace(groups))
}

func (r *Ruler) serveGroup(w http.ResponseWriter, req *http.Request) {
	for _, g := range r.Managed(req.PathValue("namespace")) {
		if g.Key.Name == req.PathValue("group") {
			serveYAML(w, written(g))
			return
		}
	}
	refuse(w, ErrNotFound)
}

// byNamespace are the groups of each namespace.
func byNamespace(groups []*ledger.Group) map[string][]*yaml.Node {
	all := map[string][]*yaml.Node{}
	for _, g := range groups {
		all[g.Key.Namespace] = append(all[g.Key.Namespace], written(g))
	}
	return all
}

// written is a group's text as a part of a document.
func written(g *ledger.Group) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(g.YAML), &doc); err != nil || len(doc.Content) != 1 {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: g.YAML} // It was read before it was agreed upon.
	}
	return doc.Content[0]
}

func serveYAML(w http.ResponseWriter, v any) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(b.Bytes()) // Who asked has gone.
}
