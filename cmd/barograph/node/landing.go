package node

import (
	_ "embed"
	"html/template"
	"net/http"

	"github.com/prometheus/common/version"
)

//go:embed landing.html
var landingHTML string

var landingPage = template.Must(template.New("landing").Parse(landingHTML))

// landing is the page at /: where to find what, and a form for a query. It has no scripts.
func (n *Node) landing(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// An error means that the client has left.
	_ = landingPage.Execute(w, struct{ Node, Version string }{n.cfg.Name, version.Version})
}
