package notify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
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
		require.NoError(t, n.Apply(parse(t, config), labels.EmptyLabels()))
		active("a:1")
		require.NoError(t, os.WriteFile(path+"~", []byte("- targets: [b:1]\n"), 0o644))
		require.NoError(t, os.Rename(path+"~", path))
		active("b:1")
		n.Send([]Alert{firing("x")})
		require.Eventually(t, func() bool { return len(b.names()) == 1 }, time.Minute, 5*time.Millisecond)
		require.NotContains(t, a.names(), "x")
	})
}

// Each kind of discovery is taken over by a reload that leaves it as it is, and replaced by others.
func TestSearchesAreTakenOver(t *testing.T) {
	const config = `
alerting:
  alertmanagers:
  - dns_sd_configs: [{names: [_am._tcp.invalid]}, {names: [am.invalid], type: A, port: 9093}]
    file_sd_configs: [{files: [/nowhere/*.yml]}]
    static_configs: [{targets: [a:1]}]
`
	n, err := New(Options{})
	require.NoError(t, err)
	searches := func(config string) []*search {
		require.NoError(t, n.Apply(parse(t, config), labels.EmptyLabels()))
		return n.mu.sets[0].searches
	}
	first := searches(config)
	require.Len(t, first, 4)
	require.Equal(t, first, searches(config))
	client := n.mu.sets[0].client
	second := searches(strings.Replace(config, "9093", "9094", 1))
	require.Same(t, client, n.mu.sets[0].client)
	same := 0
	for i := range first {
		if first[i] == second[i] {
			same++
		}
	}
	require.Equal(t, 3, same)
}
