package trust

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barograph-db/barograph/cluster/durable"
)

// maxFile bounds each file, in bytes.
const maxFile = 1 << 20

// material is what the files held when they were read. It does not change.
type material struct {
	cert *tls.Certificate // nil without TLS
	pool *x509.CertPool
	cas  []*x509.Certificate
	keys [][]byte
}

// load reads the files and checks that they fit together, now.
func load(o *Options, now time.Time) (*material, error) {
	m := &material{}
	if o.tls() {
		if err := m.loadCertificates(o); err != nil {
			return nil, err
		}
		if err := m.check(o, now); err != nil {
			return nil, err
		}
	}
	if o.GossipKeyFile != "" {
		text, err := read("gossip keys", o.GossipKeyFile)
		if err != nil {
			return nil, err
		}
		if m.keys, err = parseKeys(text); err != nil {
			return nil, fmt.Errorf("gossip keys %s: %w", o.GossipKeyFile, err)
		}
	}
	return m, nil
}

func read(what, path string) ([]byte, error) {
	text, err := durable.Read(vfs.Default, path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err) // It names the path.
	}
	return text, nil
}

func (m *material) loadCertificates(o *Options) error {
	cert, err := read("certificate", o.CertFile)
	if err != nil {
		return err
	}
	key, err := read("private key", o.KeyFile)
	if err != nil {
		return err
	}
	ca, err := read("certificates of the authority", o.CAFile)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("certificate %s with private key %s: %w", o.CertFile, o.KeyFile, err)
	}
	m.cert, m.pool = &pair, x509.NewCertPool()
	for rest := ca; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("certificates of the authority %s: %w", o.CAFile, err)
		}
		m.pool.AddCert(c)
		m.cas = append(m.cas, c)
	}
	if len(m.cas) == 0 {
		return fmt.Errorf("certificates of the authority %s: there are none in it", o.CAFile)
	}
	return nil
}

// check holds this node's certificate against what the others will hold it against.
func (m *material) check(o *Options, now time.Time) error {
	chain := []*x509.Certificate{m.cert.Leaf}
	for _, der := range m.cert.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("certificate %s: its chain: %w", o.CertFile, err)
		}
		chain = append(chain, c)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := m.verify(chain, o.ServerName, usage, now); err != nil {
			return fmt.Errorf("certificate %s: %w", o.CertFile, err)
		}
	}
	return nil
}

var usageNames = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageServerAuth: "server", x509.ExtKeyUsageClientAuth: "client",
}

// verify says in words why a certificate is not trusted.
func (m *material) verify(chain []*x509.Certificate, name string, usage x509.ExtKeyUsage, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("there is no certificate")
	}
	leaf, between := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if err := inTime(chain, now); err != nil {
		return err
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: m.pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
	case errors.As(err, &unknown):
		return fmt.Errorf("%s was signed by %q, and not by the authority of this cluster", describe(leaf), leaf.Issuer)
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return fmt.Errorf("%s may not be used by a %s: nodes are both server and client", describe(leaf), usageNames[usage])
	default:
		return fmt.Errorf("%s: %w", describe(leaf), err)
	}
	if name != "" {
		if err := leaf.VerifyHostname(name); err != nil {
			return fmt.Errorf("%s was not issued for %q, as those of this cluster are", describe(leaf), name)
		}
	}
	return nil
}

// inTime says which of the certificates is not valid yet, or no more.
func inTime(chain []*x509.Certificate, now time.Time) error {
	for _, c := range chain {
		switch {
		case now.After(c.NotAfter):
			return fmt.Errorf("%s expired at %s", describe(c), c.NotAfter.UTC().Format(time.RFC3339))
		case now.Before(c.NotBefore):
			return fmt.Errorf("%s is valid from %s on, and it is %s now", describe(c),
				c.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// describe names a certificate for people.
func describe(c *x509.Certificate) string {
	return fmt.Sprintf("the certificate of %q (number %x)", c.Subject, c.SerialNumber)
}

// ends is when the certificate, or the last of the authority's, is valid no more.
func (m *material) ends() (own, authority time.Time) {
	for _, c := range m.cas {
		if c.NotAfter.After(authority) {
			authority = c.NotAfter
		}
	}
	return m.cert.Leaf.NotAfter, authority
}
