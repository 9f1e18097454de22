package notify

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// Files are found, watched, and lead to Alertmanagers.
func TestFileDiscovery(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "am.yml")
	require.NoError(t, os.WriteFile(path, []byte("- targets: [a:1, 'http://bad/']\n"), 0o644))
	net := newNetwork()
	a, b := net.up(t, "a:1", nil), net.up(t, "b:1", nil)
	config := `
alerting:
  alertmanagers:
  - file_sd_configs: [{files: ["` + path + `"]}]
`
	with(t, Options{Dial: net.dial}, config, func(n *Notifier, reg *prometheus.Registry) {
		active := func(want ...string) {
			t.Helper()
			require.Eventually(t, func() bool {
				got, _ := n.Alertmanagers()
				if len(got) != len(want) {
					return false
				}
				for i, w := range want {
					if got[i] != "http://"+w+"/api/v2/alerts" {
						return false
					}
				}
				return true
			}, time.Minute, 5*time.Millisecond)
		}
		n.Send([]Alert{firing("early")})
		active("a:1")
		require.NoError(t, n.Apply(parse(t, config), n.mu.external))
		active("a:1")
		require.NoError(t, os.WriteFile(path+"~", []byte("- targets: [b:1]\n"), 0o644))
		require.NoError(t, os.Rename(path+"~", path))
		active("b:1")
		n.Send([]Alert{firing("x")})
		require.Eventually(t, func() bool { return len(b.names()) == 1 }, time.Minute, 5*time.Millisecond)
		require.NotContains(t, a.names(), "x")
	})
}
