package rpc

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// Two nodes of which one secures connections and the other does not are to learn so, rather than that
// something made no sense. The first byte that the caller sends tells which it is: of TLS it is 22,
// of a hello the first of magic. So whoever accepts looks at it, and refuses the wrong kind with an
// answer in plain: a caller in plain reads it, and one that speaks TLS learns that this is not TLS.

// tlsHandshake is the first byte that a caller sends over TLS.
const tlsHandshake = 22

const (
	wordsSecured = "it takes only connections secured by TLS, and the caller's is not: give all nodes of the cluster certificates, or none"
	wordsPlain   = "its connections are not secured by TLS, and the caller's is: give all nodes of the cluster certificates, or none"
)

// peeked is a connection with what has been read of it before.
type peeked struct {
	net.Conn
	first []byte
}

func (p *peeked) Read(b []byte) (int, error) {
	if len(p.first) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.first)
	p.first = p.first[n:]
	return n, nil
}

// secureServer begins TLS on a connection that was accepted, if the caller does, or says why it is
// not wanted.
func (t *Transport) secureServer(ctx context.Context, c *conn) (refusal, error) {
	var first [1]byte
	if _, err := io.ReadFull(c.raw, first[:]); err != nil {
		return welcome, err
	}
	rest := &peeked{c.raw, first[:]}
	c.Conn = rest
	secured := first[0] == tlsHandshake
	switch {
	case t.opts.ServerTLS == nil && secured:
		return refusedTLS, skipRecord(rest)
	case t.opts.ServerTLS == nil:
		return welcome, nil
	case !secured:
		return refusedTLS, nil
	}
	over := tls.Server(rest, t.opts.ServerTLS())
	c.Conn = over
	return welcome, t.secured(accepting, over.HandshakeContext(ctx))
}

// skipRecord reads the first record that a caller sends over TLS: a connection that is closed with
// something unread may lose what was said last.
func skipRecord(r io.Reader) error {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint16(head[3:])))
	return err
}

// secureClient begins TLS on a connection that was dialled.
func (t *Transport) secureClient(ctx context.Context, c *conn) error {
	if t.opts.ClientTLS == nil {
		return nil
	}
	over := tls.Client(c.raw, t.opts.ClientTLS())
	c.Conn = over
	return t.secured(dialling, over.HandshakeContext(ctx))
}

// distrusted makes words of the other side's that it does not trust this node.
func (t *Transport) distrusted(s side, err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return err
	}
	t.metrics.refused(s, refusedTLS)
	return errorf(refusedTLS.code(), "it does not trust this node's certificate: it says %q", op.Err)
}

// secured says in words what is wrong between two nodes that begin TLS, as far as it is not the
// connection that broke.
func (t *Transport) secured(s side, err error) error {
	var record tls.RecordHeaderError
	var unverified *tls.CertificateVerificationError
	var op *net.OpError
	var words string
	switch {
	case err == nil:
		return nil
	case errors.As(err, &op):
		return t.distrusted(s, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &record):
		words = "its connections are not secured by TLS, and this node's are: give all nodes of the cluster certificates, or none"
	case errors.As(err, &unverified) && len(unverified.UnverifiedCertificates) > 0:
		words = fmt.Sprintf("its certificate, of %q, is not trusted: %v", unverified.UnverifiedCertificates[0].Subject, unverified.Err)
	default:
		words = fmt.Sprintf("it is not trusted: %v", err)
	}
	t.metrics.refused(s, refusedTLS)
	return &Error{refusedTLS.code(), words}
}
