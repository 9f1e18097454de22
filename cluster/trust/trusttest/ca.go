package trusttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// CA signs certificates.
type CA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	PEM  []byte
	last int64
}

// NewCA makes an authority of its own.
func NewCA(t testing.TB, name string) *CA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	now := time.Now()
	ca := &CA{t: t, key: key}
	ca.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(100 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca.cert, ca.cert, &key.PublicKey, key)
	require.NoError(t, err)
	ca.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	ca.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ca
}

// Files are those of a node.
type Files struct{ Cert, Key, CA, GossipKeys string }

// FilesIn names the files of a node in a folder.
func FilesIn(dir string) Files {
	return Files{
		filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem"), filepath.Join(dir, "gossip.keys"),
	}
}

// Issue writes a certificate for a node, its key and the authority's certificate. What edit does not
// change is good for a month, for a server and a client.
func (ca *CA) Issue(f Files, name string, edit ...func(*x509.Certificate)) {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(ca.t, err)
	ca.last++
	now := time.Now()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(ca.last + 1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(30 * 24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, e := range edit {
		e(cert)
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, ca.cert, &key.PublicKey, ca.key)
	require.NoError(ca.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(ca.t, err)
	ca.write(f.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	ca.write(f.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	ca.write(f.CA, ca.PEM)
}

func (ca *CA) write(path string, data []byte) {
	ca.t.Helper()
	require.NoError(ca.t, os.WriteFile(path, data, 0o600))
}

// Keys writes keys of gossip, one for each letter: "ab" is key a and then key b.
func Keys(t testing.TB, path, letters string) {
	t.Helper()
	var text []byte
	for _, l := range []byte(letters) {
		key := make([]byte, 32)
		key[0] = l
		text = base64.StdEncoding.AppendEncode(text, key)
		text = append(text, '\n')
	}
	require.NoError(t, os.WriteFile(path, text, 0o600))
}
