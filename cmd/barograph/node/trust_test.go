package node

import (
	"crypto/x509"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/trust/trusttest"
)

// ofCluster is a configuration of a node that founds a cluster, with certificates and keys.
func ofCluster(t *testing.T, ca *trusttest.CA) (Config, trusttest.Files) {
	cfg := config(t, "")
	cfg.Cluster.Name, cfg.Cluster.GossipAddress, cfg.Cluster.RPCAddress = "test", "127.0.0.1:0", "127.0.0.1:0"
	f := trusttest.FilesIn(t.TempDir())
	ca.Issue(f, "node")
	trusttest.Keys(t, f.GossipKeys, "a")
	cfg.Cluster.TLSCertFile, cfg.Cluster.TLSKeyFile, cfg.Cluster.TLSCAFile = f.Cert, f.Key, f.CA
	cfg.Cluster.GossipKeyFile = f.GossipKeys
	return cfg, f
}

// A node does not start on flags or files that make no sense, and says which.
func TestTrustErrors(t *testing.T) {
	ca := trusttest.NewCA(t, "ours")
	for name, c := range map[string]struct {
		spoil func(*Config, trusttest.Files)
		want  string
	}{
		"half":         {func(c *Config, _ trusttest.Files) { c.Cluster.TLSKeyFile = "" }, "--cluster.tls-cert-file, --cluster.tls-key-file and --cluster.tls-ca-file belong together"},
		"no authority": {func(c *Config, _ trusttest.Files) { c.Cluster.TLSCAFile = "" }, "belong together"},
		"only a name":  {func(c *Config, _ trusttest.Files) { c.Cluster = ClusterConfig{Name: "x", TLSServerName: "y"} }, "--cluster.tls-server-name needs"},
		"no cluster":   {func(c *Config, _ trusttest.Files) { c.Cluster.Name = "" }, "need --cluster.name"},
		"no file":      {func(c *Config, f trusttest.Files) { require.NoError(t, os.Remove(f.GossipKeys)) }, "gossip keys: open"},
		"expired": {func(_ *Config, f trusttest.Files) {
			ca.Issue(f, "node", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) })
		}, "expired at"},
	} {
		cfg, f := ofCluster(t, ca)
		c.spoil(&cfg, f)
		_, err := New(cfg)
		require.ErrorContains(t, err, c.want, name)
	}
}

// A reload that finds something wrong with certificates changes nothing, the file's keys included.
func TestTrustReload(t *testing.T) {
	cfg, f := ofCluster(t, trusttest.NewCA(t, "ours"))
	cfg.Web.EnableLifecycle = true
	r := start(t, cfg)
	require.NoError(t, os.WriteFile(cfg.ConfigFile, []byte("global: {external_labels: {dc: b}}"), 0o600))
	trusttest.Keys(t, f.GossipKeys, "aa")
	resp, text := r.do(http.MethodPost, "/-/reload", "")
	require.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	require.Contains(t, text, "the key on line 2 is there before")
	_, text = r.do(http.MethodGet, "/api/v1/status/config", "")
	require.NotContains(t, text, "dc: b")
	trusttest.Keys(t, f.GossipKeys, "ba")
	require.Equal(t, http.StatusOK, r.status(http.MethodPost, "/-/reload"))
	_, text = r.do(http.MethodGet, "/metrics", "")
	require.Contains(t, text, "\nbarograph_trust_gossip_keys 2\n")
	require.Contains(t, text, `barograph_trust_certificate_expiry_timestamp_seconds{certificate="own"}`)
	require.Equal(t, http.StatusForbidden, r.status(http.MethodPost, "/api/v1/cluster/remove?node=test"), "without --web.enable-admin-api")
	require.Equal(t, http.StatusOK, r.status(http.MethodGet, "/api/v1/cluster/status"))
}
