package rpc

import (
	"context"
	"errors"
	"os"
)

// connect dials a peer and shakes hands. It takes no longer than HandshakeTimeout.
func (t *Transport) connect(ctx context.Context, to Peer, purpose byte, kind string) (*conn, *answer, *Error) {
	t.metrics.dials.Inc()
	c, a, err := t.dial(ctx, to, purpose, kind)
	if err == nil {
		return c, a, nil
	}
	t.metrics.dialFails.Inc()
	var refused *Error
	switch {
	case ctx.Err() != nil:
		return nil, nil, contextError(ctx)
	case errors.As(err, &refused):
		return nil, nil, errorf(refused.Code, "node %s: %s", to, refused.Text)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return nil, nil, errorf(Unavailable, "node %s: no answer within %v", to, t.opts.HandshakeTimeout)
	}
	return nil, nil, errorf(Unavailable, "node %s: %v", to, err)
}

func (t *Transport) dial(ctx context.Context, to Peer, purpose byte, kind string) (*conn, *answer, error) {
	ctx, cancel := context.WithTimeout(ctx, t.opts.HandshakeTimeout)
	defer cancel()
	raw, err := t.opts.Network.Dial(ctx, to.Addr)
	if err != nil {
		return nil, nil, err
	}
	c := t.newConn(raw)
	var a *answer
	err = c.within(ctx, t.opts.HandshakeTimeout, func() (err error) {
		if err = t.secureClient(ctx, c); err == nil {
			a, err = t.sayHello(c, to, purpose, kind)
		}
		return t.failed(dialling, err)
	})
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	return c, a, nil
}

// sayHello is the handshake on the side that dials.
func (t *Transport) sayHello(c *conn, to Peer, purpose byte, kind string) (*answer, error) {
	h := hello{
		speaks: t.speaks, purpose: purpose, kind: kind,
		to: to.ID, from: t.opts.Identity,
		window: minWindow,
	}
	if purpose < byte(numClasses) {
		h.window = windows[purpose]
	}
	if _, err := c.Write(appendHello(nil, &h)); err != nil {
		return nil, t.distrusted(dialling, err)
	}
	body, err := readPacket(c)
	if err != nil { // Over TLS it may be only now that the other side does not trust this one.
		return nil, t.distrusted(dialling, err)
	}
	a, err := decodeAnswer(body, t.speaks)
	if err != nil {
		return nil, err
	}
	why, words := a.refusal, a.words
	if why == welcome {
		why, words = judgeAnswer(&t.opts.Identity, to.ID, &a)
	}
	if why != welcome {
		t.metrics.refused(dialling, why)
		return nil, &Error{why.code(), words}
	}
	return &a, nil
}

// failed counts a handshake that did not end with an answer, and returns the error.
func (t *Transport) failed(s side, err error) error {
	var counted *Error
	if err != nil && !errors.As(err, &counted) {
		t.metrics.failed[s].Inc()
	}
	return err
}
