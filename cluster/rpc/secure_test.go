package rpc

import (
	"context"
	"crypto/x509"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/trust"
	"github.com/barograph-db/barograph/cluster/trust/trusttest"
)

// secureNode is a node with certificates, and what it says.
type secureNode struct {
	*node
	said  *log
	store *trust.Store
	files trusttest.Files
	name  string
}

func openTrust(t *testing.T, f trusttest.Files, name string) *trust.Store {
	s, err := trust.Open(trust.Options{CertFile: f.Cert, KeyFile: f.Key, CAFile: f.CA, ServerName: name})
	require.NoError(t, err)
	return s
}

// startSecure runs a node with a certificate of an authority; with none it is a plain one.
func startSecure(t *testing.T, n byte, ca *trusttest.CA, name string, edit ...func(*x509.Certificate)) *secureNode {
	s := &secureNode{said: &log{}, name: name}
	o := Options{Identity: identity(n), Logger: slog.New(slog.NewTextHandler(s.said, nil))}
	if ca != nil {
		s.files = trusttest.FilesIn(t.TempDir())
		ca.Issue(s.files, identity(n).Name, edit...)
		s.store = openTrust(t, s.files, name)
		o.ServerTLS, o.ClientTLS = s.store.ServerTLS, s.store.ClientTLS
	}
	s.node = startOpts(t, o)
	return s
}

func named(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = []string{name} }
}

// Nodes that trust each other speak over TLS; where one does not, both say why.
func TestMutualTLS(t *testing.T) {
	ca, theirs := trusttest.NewCA(t, "ours"), trusttest.NewCA(t, "theirs")
	a, b := startSecure(t, 1, ca, ""), startSecure(t, 2, ca, "")
	resp, err := a.Call(soon(t), b.peer, "mirror", make([]byte, 1<<20))
	require.NoError(t, err)
	require.Len(t, resp, 1<<20)

	plain, stranger := startSecure(t, 3, nil, ""), startSecure(t, 4, theirs, "")
	prod := startSecure(t, 5, ca, "node.prod", named("node.prod"))
	other := startSecure(t, 6, ca, "node.test", named("node.test"))
	tests := []struct {
		from, to  *secureNode
		dials     string
		takesCall string
	}{
		{plain, b, wordsSecured, `node="c (00000000-0000-0000-0000-000000000003)" cluster=prod answer="it takes only`},
		{a, plain, "its connections are not secured by TLS, and this node's are", `answer="` + wordsPlain},
		{stranger, b, `the certificate of "CN=b" (number 3) was signed by "CN=ours", and not by the authority of this cluster`, "bad certificate"},
		{other, prod, `the certificate of "CN=e" (number 4) was not issued for "node.test", as those of this cluster are`, "bad certificate"},
		{a, prod, `it does not trust this node's certificate`, `was not issued for \"node.prod\"`},
	}
	for _, c := range tests {
		_, err := c.from.Call(soon(t), c.to.peer, "echo", nil)
		require.Equal(t, Unavailable, CodeOf(err), err)
		require.ErrorContains(t, err, c.dials)
		eventually(t, func() bool { return strings.Contains(c.to.said.String(), c.takesCall) })
		require.NotZero(t, value(c.from.metrics.refusals[dialling][refusedTLS]))
		require.NotZero(t, value(c.to.metrics.refusals[accepting][refusedTLS]))
	}
}

// A certificate that expires while its node runs is named to those who meet it; a new one, and a new
// authority beside the old, count from the next connection on.
func TestRotation(t *testing.T) {
	old, fresh := trusttest.NewCA(t, "old"), trusttest.NewCA(t, "fresh")
	end := time.Now().Truncate(time.Second).Add(2 * time.Second)
	a := startSecure(t, 1, old, "", func(c *x509.Certificate) { c.NotAfter = end })
	b, c := startSecure(t, 2, old, ""), startSecure(t, 3, old, "")
	call := func(from, to *secureNode) error {
		_, err := from.Call(soon(t), to.peer, "echo", nil)
		return err
	}
	require.NoError(t, call(b, a))
	<-time.After(time.Until(end) + time.Millisecond)
	require.NoError(t, call(b, a), "the connection stands")
	err := call(c, a)
	require.ErrorContains(t, err, `the certificate of "CN=a" (number 2) expired at `+end.UTC().Format(time.RFC3339))
	err = call(a, c)
	require.ErrorContains(t, err, "expired certificate", "the other side says so")
	eventually(t, func() bool { return strings.Contains(c.said.String(), "expired or is not yet valid") })

	// First all trust both authorities, then all are given certificates of the new one.
	nodes := []*secureNode{a, b, c}
	both := append(append([]byte{}, old.PEM...), fresh.PEM...)
	for _, ca := range []*trusttest.CA{old, fresh} {
		ca.PEM = both
		for _, n := range nodes {
			ca.Issue(n.files, n.Transport.opts.Identity.Name)
			require.NoError(t, n.store.Reload())
			for _, from := range nodes {
				for _, to := range nodes {
					if from != to {
						eventually(t, func() bool { return freshCall(t, from, to) == nil })
					}
				}
			}
		}
	}
}

// freshCall calls over a connection of its own.
func freshCall(t *testing.T, from, to *secureNode) error {
	c, _, err := from.connect(soon(t), to.peer, byte(Bulk), "")
	if err != nil {
		return err
	}
	return c.Close()
}

// Connections that begin as TLS and end are no more than failed handshakes.
func TestBrokenTLS(t *testing.T) {
	a := startSecure(t, 1, trusttest.NewCA(t, "ours"), "")
	plain := startSecure(t, 2, nil, "")
	for _, n := range []*secureNode{a, plain} {
		conn, err := TCP{}.Dial(context.Background(), n.peer.Addr)
		require.NoError(t, err)
		_, err = conn.Write([]byte{tlsHandshake, 3, 1, 255, 255, 1, 0})
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		eventually(t, func() bool {
			return value(n.metrics.failed[accepting])+value(n.metrics.refusals[accepting][refusedTLS]) == 1
		})
	}
}
