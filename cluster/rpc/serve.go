package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// accept takes connections until ctx ends or the listener is closed.
func (t *Transport) accept(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	defer listener.Close()
	for {
		raw, err := listener.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept connections of nodes: %w", err)
		default: // As many files as may be are open, or the peer has left already.
			t.opts.Logger.Warn("cannot accept a connection", "err", err)
			select {
			case <-time.After(firstBackoff):
			case <-ctx.Done():
			}
			continue
		}
		c := t.newConn(raw)
		if !t.accepted.add(c, t.opts.MaxConns) {
			t.metrics.limits[limitConns].Inc()
			continue
		}
		t.serving.Go(func() { t.receive(ctx, c) })
	}
}

// receive shakes hands, and then serves the connection or hands it over.
func (t *Transport) receive(ctx context.Context, c *conn) {
	var h *hello
	err := c.within(ctx, t.opts.HandshakeTimeout, func() (err error) {
		h, err = t.readHello(ctx, c)
		return err
	})
	if err != nil {
		_ = c.Close()
		return
	}
	t.pool.alive(h.from.Node)
	if h.purpose == purposeRaw {
		t.kinds[h.kind].give(c)
		return
	}
	l := t.newLink(c, accepting, Class(h.purpose), h.from, h.window)
	t.links.add(l)
	defer t.links.remove(l)
	if ctx.Err() != nil {
		l.end()
	}
	l.run()
}

// readHello is the handshake on the side that accepts. An error has been counted and logged.
func (t *Transport) readHello(ctx context.Context, c *conn) (*hello, error) {
	why, err := t.secureServer(ctx, c)
	var h hello
	if err == nil && (why == welcome || t.opts.ServerTLS != nil) {
		var body []byte
		if body, err = readPacket(c); err == nil {
			h, err = decodeHello(body, t.speaks)
		}
		err = t.distrusted(accepting, err) // Over TLS the caller may say so only now.
	}
	if err == nil {
		return &h, t.answer(c, &h, why)
	}
	t.opts.Logger.Warn("handshake failed", "from", c.RemoteAddr(), "err", t.failed(accepting, err))
	return nil, err
}

// answer tells the caller whether it is welcome. It may have been found already that it is not.
func (t *Transport) answer(c *conn, h *hello, why refusal) error {
	var words string
	switch {
	case why != refusedTLS:
		why, words = judgeHello(&t.opts.Identity, t.speaks, h)
	case t.opts.ServerTLS != nil:
		words = wordsSecured
	default:
		words = wordsPlain
	}
	if why == welcome {
		why, words = t.judgePurpose(h)
	}
	if why == welcome && !t.accepted.belongs(c, h.from.Node, t.opts.MaxPeerConns) {
		t.metrics.limits[limitPeerConns].Inc()
		why, words = refusedLimit, fmt.Sprintf("it has %d connections of this node already", t.opts.MaxPeerConns)
	}
	a := answer{refusal: why, words: words, version: t.speaks.Common(h.speaks), from: t.opts.Identity, window: minWindow}
	if h.purpose < byte(numClasses) {
		a.window = windows[h.purpose]
	}
	if _, err := c.Write(appendAnswer(nil, &a)); err != nil {
		t.metrics.failed[accepting].Inc()
		return err
	}
	if why != welcome {
		t.metrics.refused(accepting, why)
		t.opts.Logger.Warn("refused a connection", "from", c.RemoteAddr(), "node", h.from.String(), "cluster", h.from.Cluster, "answer", words)
		return &Error{why.code(), words}
	}
	return nil
}

// judgePurpose decides whether this node takes connections of such a purpose.
func (t *Transport) judgePurpose(h *hello) (refusal, string) {
	if h.purpose < byte(numClasses) {
		return welcome, ""
	}
	if h.purpose != purposeRaw {
		return refusedKind, fmt.Sprintf("it knows no connections for purpose %d", h.purpose)
	}
	if l := t.kinds[h.kind]; l == nil || l.isClosed() {
		return refusedKind, fmt.Sprintf("nobody there takes connections of kind %q", h.kind)
	}
	return welcome, ""
}
