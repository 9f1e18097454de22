package trust_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/cluster/trust"
	"github.com/barograph-db/barograph/cluster/trust/trusttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(f trusttest.Files) trust.Options {
	return trust.Options{CertFile: f.Cert, KeyFile: f.Key, CAFile: f.CA}
}

func TestNothing(t *testing.T) {
	s, err := trust.Open(trust.Options{})
	require.NoError(t, err)
	require.False(t, s.TLS())
	require.Empty(t, s.GossipKeys())
	require.NoError(t, s.Reload())
	s.Run(t.Context())
}

// Each thing that can be wrong with the files is said in words, at start and at a reload, and a
// reload leaves what was there.
func TestWrongFiles(t *testing.T) {
	ca, other := trusttest.NewCA(t, "ours"), trusttest.NewCA(t, "theirs")
	good := trusttest.FilesIn(t.TempDir())
	ca.Issue(good, "good")
	for name, c := range map[string]struct {
		spoil func(f trusttest.Files, o *trust.Options)
		words string
	}{
		"no key given": {func(_ trusttest.Files, o *trust.Options) { o.KeyFile = "" }, "give all or none"},
		"only a name":  {func(_ trusttest.Files, o *trust.Options) { *o = trust.Options{ServerName: "x"} }, "needs certificates"},
		"missing": {func(f trusttest.Files, _ *trust.Options) {
			require.NoError(t, os.Remove(f.CA))
		}, "certificates of the authority: open"},
		"no PEM": {func(f trusttest.Files, _ *trust.Options) {
			require.NoError(t, os.WriteFile(f.Cert, []byte("hello"), 0o600))
		}, "failed to find any PEM data"},
		"too large": {func(f trusttest.Files, _ *trust.Options) {
			require.NoError(t, os.WriteFile(f.Key, make([]byte, 2<<20), 0o600))
		}, "more than 1048576 bytes"},
		"no authority": {func(f trusttest.Files, _ *trust.Options) {
			require.NoError(t, os.WriteFile(f.CA, []byte("hello"), 0o600))
		}, "there are none in it"},
		"another's key": {func(f trusttest.Files, o *trust.Options) { o.KeyFile = good.Key }, "private key does not match public key"},
		"another authority": {func(f trusttest.Files, _ *trust.Options) {
			require.NoError(t, os.WriteFile(f.CA, other.PEM, 0o600))
		}, `was signed by "CN=ours", and not by the authority of this cluster`},
		"expired": {func(f trusttest.Files, _ *trust.Options) {
			ca.Issue(f, "old", func(c *x509.Certificate) { c.NotAfter = time.Unix(1_700_000_000, 0) })
		}, `the certificate of "CN=old" (number`},
		"expired at": {func(f trusttest.Files, _ *trust.Options) {
			ca.Issue(f, "old", func(c *x509.Certificate) { c.NotAfter = time.Unix(1_700_000_000, 0) })
		}, "expired at 2023-11-14T22:13:20Z"},
		"not yet": {func(f trusttest.Files, _ *trust.Options) {
			ca.Issue(f, "new", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
		}, "is valid from"},
		"for servers only": {func(f trusttest.Files, _ *trust.Options) {
			ca.Issue(f, "half", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] })
		}, "may not be used by a client: nodes are both"},
		"another name": {func(_ trusttest.Files, o *trust.Options) { o.ServerName = "node.prod" }, `was not issued for "node.prod"`},
		"no key": {func(f trusttest.Files, o *trust.Options) {
			o.GossipKeyFile = f.GossipKeys
			trusttest.Keys(t, f.GossipKeys, "")
		}, "no key is in it"},
	} {
		t.Run(name, func(t *testing.T) {
			f := trusttest.FilesIn(t.TempDir())
			ca.Issue(f, "node")
			o := options(f)
			s, err := trust.Open(o)
			require.NoError(t, err)
			before := s.ServerTLS().Certificates[0].Leaf
			c.spoil(f, &o)
			_, err = trust.Open(o)
			require.ErrorContains(t, err, c.words)
			if o == options(f) {
				require.ErrorContains(t, s.Reload(), c.words)
			}
			require.Equal(t, before, s.ServerTLS().Certificates[0].Leaf)
		})
	}
}

func TestReload(t *testing.T) {
	ca := trusttest.NewCA(t, "ours")
	f := trusttest.FilesIn(t.TempDir())
	ca.Issue(f, "node", func(c *x509.Certificate) {
		c.NotAfter = time.Unix(4_000_000_000, 0)
		c.DNSNames = []string{"node.prod"}
	})
	trusttest.Keys(t, f.GossipKeys, "a")
	reg := prometheus.NewRegistry()
	o := options(f)
	o.GossipKeyFile, o.ServerName, o.Registerer = f.GossipKeys, "node.prod", reg
	s, err := trust.Open(o)
	require.NoError(t, err)
	require.Len(t, s.GossipKeys(), 1)
	ca.Issue(f, "node", func(c *x509.Certificate) {
		c.NotAfter = time.Unix(4_100_000_000, 0)
		c.DNSNames = []string{"node.prod"}
	})
	trusttest.Keys(t, f.GossipKeys, "ba")
	require.NoError(t, s.Reload())
	require.Equal(t, byte('b'), s.GossipKeys()[0][0])
	require.Equal(t, int64(4_100_000_000), s.ClientTLS().Certificates[0].Leaf.NotAfter.Unix())
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP barograph_trust_gossip_keys Keys of gossip that are in force; 0 is plain gossip.
# TYPE barograph_trust_gossip_keys gauge
barograph_trust_gossip_keys 2
`), "barograph_trust_gossip_keys"))
	problems, err := testutil.GatherAndLint(reg)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// log collects what is said.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// take returns what was said since the last time.
func (l *log) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// The log tells of a certificate that will expire, and of one that has.
func TestExpiryIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := trusttest.FilesIn(t.TempDir())
		ca := trusttest.NewCA(t, "ours")
		ca.Issue(f, "node")
		var said log
		o := options(f)
		o.Logger = slog.New(slog.NewTextHandler(&said, nil))
		s, err := trust.Open(o)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { s.Run(ctx); close(ended) }()
		sleep := func(days int) string {
			time.Sleep(time.Duration(days) * 24 * time.Hour)
			synctest.Wait()
			return said.take()
		}
		require.Empty(t, sleep(15))
		soon := sleep(14)
		require.Equal(t, 13, strings.Count(soon, "expires soon"), soon)
		require.Contains(t, soon, filepath.Base(f.Cert))
		require.NotContains(t, soon, "has expired")
		require.Contains(t, sleep(2), "A certificate has expired")
		ca.Issue(f, "node")
		require.NoError(t, s.Reload())
		synctest.Wait()
		said.take()
		require.Empty(t, sleep(10))
		stop()
		<-ended
	})
}
