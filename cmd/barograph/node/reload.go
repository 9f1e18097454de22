package node

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/prometheus/common/version"
)

// Reload reads the configuration file, certificates and keys again and puts them in force. One that has
// an error changes nothing: the error names what is wrong, and the old configuration goes on.
func (n *Node) Reload() error {
	n.reload.Lock()
	defer n.reload.Unlock()
	f, err := n.loadFile()
	if err == nil {
		err = n.reloadTrust()
	}
	if err != nil {
		n.metrics.reloadSuccessful.Set(0)
		n.reloadFailed.Store(true)
		n.logger.Error("The configuration was not reloaded; the one before stays in force", "err", err)
		return fmt.Errorf("reload configuration: %w", err)
	}
	if fixed := fixedChanges(n.file.Load(), f); len(fixed) > 0 {
		n.logger.Warn("Changes of these keys need a restart", "keys", strings.Join(fixed, ", "))
	}
	n.apply(f)
	n.logger.Info("Loaded the configuration", "file", n.cfg.ConfigFile)
	return nil
}

// apply puts a checked file in force.
func (n *Node) apply(f *File) {
	n.file.Store(f)
	_ = n.limits.Set(n.limitOptions(f)) // They were checked when the file was loaded.
	if e := n.pairs.Load(); e != nil {
		_ = e.Set(f.Barograph.HA.settings())
	}
	if r := n.ruling.Load(); r != nil {
		r.Apply(f.ruleSettings())
	}
	n.collector.set(f.Runtime.GoGC)
	if l := n.cfg.LogLevel; l != nil && f.Runtime.LogLevel != "" {
		_ = l.Set(f.Runtime.LogLevel) // It was checked when the file was loaded.
	}
	for _, key := range f.Unused() {
		n.logger.Warn("The configuration has a key that is accepted, but has no effect in this version", "key", key)
	}
	now := time.Now()
	n.loaded.Store(&now)
	n.reloadFailed.Store(false)
	n.metrics.reloadSuccessful.Set(1)
	n.metrics.reloadTime.Set(float64(now.UnixMilli()) / 1000)
}

// fixedChanges names the keys that differ and that a running node can't change.
func fixedChanges(before, after *File) []string {
	var keys []string
	b, a := before.Barograph, after.Barograph
	for _, c := range []struct {
		key    string
		differ bool
	}{
		{"barograph.ha", b.HA.fixed() != a.HA.fixed()},
		{"barograph.retention", b.Retention != a.Retention},
		{"barograph.query", b.Query != a.Query},
		{"barograph.web", b.Web != a.Web},
		{"barograph.limits.future_tolerance", b.Limits.FutureTolerance != a.Limits.FutureTolerance},
		{"barograph.self_scrape.enabled", !reflect.DeepEqual(b.SelfScrape.Enabled, a.SelfScrape.Enabled)},
	} {
		if c.differ {
			keys = append(keys, c.key)
		}
	}
	return keys
}

// lifecycle lets a request through when the lifecycle calls are enabled.
func (n *Node) lifecycle(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !n.cfg.Web.EnableLifecycle {
			http.Error(w, "The lifecycle calls are not enabled: start with --web.enable-lifecycle.", http.StatusForbidden)
			return
		}
		h(w, r)
	})
}

func (n *Node) serveReload(w http.ResponseWriter, _ *http.Request) {
	if err := n.Reload(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (n *Node) serveQuit(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "Barograph %s stops. Goodbye.\n", version.Version)
	n.quit()
}
