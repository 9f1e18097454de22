package rpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRaw(t *testing.T) {
	var listener net.Listener
	var dial func(context.Context, Peer) (net.Conn, error)
	a := start(t, 1, func(tr *Transport) { _, dial = tr.Raw("raft") })
	b := start(t, 2, func(tr *Transport) { listener, _ = tr.Raw("raft") })
	c := start(t, 3)
	require.Equal(t, "127.0.0.1:0", listener.Addr().String())

	conn, err := dial(soon(t), b.peer)
	require.NoError(t, err)
	far, err := listener.Accept()
	require.NoError(t, err)
	_, err = conn.Write([]byte("vote"))
	require.NoError(t, err)
	got := make([]byte, 4)
	_, err = io.ReadFull(far, got)
	require.NoError(t, err)
	require.Equal(t, "vote", string(got))
	_, err = far.Write([]byte("aye"))
	require.NoError(t, err)
	_, err = io.ReadFull(conn, got[:3])
	require.NoError(t, err)

	_, err = dial(soon(t), c.peer)
	require.Equal(t, Refused, CodeOf(err))
	require.ErrorContains(t, err, `nobody there takes connections of kind "raft"`)
	_, err = dial(soon(t), c.peer)
	require.Equal(t, Unavailable, CodeOf(err), "not so soon")

	// What nobody accepts is not kept without end.
	for range rawBacklog + 1 {
		_, err := dial(soon(t), b.peer)
		require.NoError(t, err)
	}
	eventually(t, func() bool { return value(b.metrics.limits[limitRaw]) == 1 })

	b.end()
	_, err = listener.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = conn.Read(got)
	require.Error(t, err)
	_, err = far.Read(got)
	require.ErrorIs(t, err, net.ErrClosed)
	a.end()
	_, err = conn.Read(got)
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = dial(soon(t), b.peer)
	require.Error(t, err)
}

// authority signs certificates for loopback.
func authority(t *testing.T) (pool *x509.CertPool, issue func() tls.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	require.NoError(t, err)
	root, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(root)
	return pool, func() tls.Certificate {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, &own.PublicKey, key)
		require.NoError(t, err)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}
	}
}

func TestMutualTLS(t *testing.T) {
	pool, issue := authority(t)
	strangers, forge := authority(t)
	secure := func(n byte, cert tls.Certificate, roots *x509.CertPool) *node {
		return startOpts(t, Options{
			Identity:  identity(n),
			ServerTLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots},
			ClientTLS: &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots},
		})
	}
	a, b := secure(1, issue(), pool), secure(2, issue(), pool)
	stranger, plain := secure(3, forge(), strangers), start(t, 4)
	gullible := startOpts(t, Options{Identity: identity(5), ClientTLS: &tls.Config{Certificates: []tls.Certificate{forge()}, RootCAs: pool}})
	resp, err := a.Call(soon(t), b.peer, "echo", make([]byte, 1<<20))
	require.NoError(t, err)
	require.Len(t, resp, 1<<20)
	for _, pair := range [][2]*node{{stranger, b}, {a, stranger}, {plain, b}, {a, plain}, {gullible, b}} {
		_, err := pair[0].Call(soon(t), pair[1].peer, "echo", nil)
		require.Equal(t, Unavailable, CodeOf(err))
	}
	eventually(t, func() bool { return value(b.metrics.failed[accepting]) == 3 })
}
