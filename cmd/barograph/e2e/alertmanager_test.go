package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// webhook is a receiver of Alertmanager's notifications.
type webhook struct {
	*httptest.Server

	mu struct {
		sync.Mutex
		heard []notification
	}
}

// notification is what Alertmanager tells of an alert.
type notification struct {
	Status           string
	Labels           map[string]string
	StartsAt, EndsAt time.Time
	at               time.Time // when it was heard
}

func newWebhook(t *testing.T) *webhook {
	t.Helper()
	w := &webhook{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var n struct{ Alerts []notification }
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, a := range n.Alerts {
			a.at = time.Now()
			w.mu.heard = append(w.mu.heard, a)
		}
	}))
	t.Cleanup(w.Close)
	return w
}

// heard are the notifications so far, in their order.
func (w *webhook) heard() []notification {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.heard)
}

// alertmanager starts Debian's, which tells the webhook of each alert by itself, and returns its address.
func alertmanager(t *testing.T, w *webhook) string {
	t.Helper()
	program := installed(t, "prometheus-alertmanager")
	dir := t.TempDir()
	config, addr := filepath.Join(dir, "alertmanager.yml"), freeAddr(t)
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
route: {receiver: hook, group_by: ['...'], group_wait: 100ms, group_interval: 300ms, repeat_interval: 1h}
receivers:
- name: hook
  webhook_configs: [{url: %q, send_resolved: true}]
`, w.URL), 0o600))
	launch(t, "http://"+addr+"/-/ready", filepath.Join(dir, "alertmanager.log"), program,
		"--config.file="+config, "--storage.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--cluster.listen-address=")
	return addr
}
