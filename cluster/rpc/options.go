package rpc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Transport. Identity has to be given; the zero value of all else works.
type Options struct {
	// Identity is who this node is.
	Identity Identity
	// Listen is the address to serve at; default ":11014".
	Listen string
	// Network is what nodes are connected by; default TCP.
	Network Network
	// ServerTLS and ClientTLS give what the two sides of a connection are secured with; both or
	// neither are given, and neither is plain. They are asked for each new connection.
	ServerTLS, ClientTLS func() *tls.Config

	// MaxStreams bounds the streams of a connection; default 1024. With the window of its class it
	// bounds the memory that a peer may take.
	MaxStreams int
	// MaxRequests bounds the requests that are served at once, of all peers; default 8192.
	MaxRequests int
	// MaxConns and MaxPeerConns bound the connections that are accepted, in all and of one peer;
	// default 4096 and 32. A peer needs one for each class, and its kinds of raw ones.
	MaxConns, MaxPeerConns int

	// HandshakeTimeout is what connecting may take, on either side; default 3 s.
	HandshakeTimeout time.Duration
	// KeepAlive is how long a peer may be silent, or take nothing in, until it counts as dead;
	// default 3 s. Idle peers are asked to say something in time.
	KeepAlive time.Duration
	// Idle is how long a connection is kept that nobody uses; default 5 min.
	Idle time.Duration
	// MaxBackoff is the longest pause after dials that failed; default 5 s. It begins with 100 ms.
	MaxBackoff time.Duration
	// Grace is how long requests that have arrived may take when the node ends; default 5 s.
	Grace time.Duration

	// Logger is told of refusals and lost connections; nil drops all.
	Logger *slog.Logger
	// Registerer takes the metrics; nil keeps none.
	Registerer prometheus.Registerer
}

// EnsureDefaults fills in what is zero.
func (o *Options) EnsureDefaults() {
	if o.Listen == "" {
		o.Listen = ":11014"
	}
	if o.Network == nil {
		o.Network = TCP{}
	}
	for _, n := range []struct {
		value *int
		most  int
	}{{&o.MaxStreams, 1024}, {&o.MaxRequests, 8192}, {&o.MaxConns, 4096}, {&o.MaxPeerConns, 32}} {
		if *n.value == 0 {
			*n.value = n.most
		}
	}
	for _, d := range []struct {
		value *time.Duration
		long  time.Duration
	}{
		{&o.HandshakeTimeout, 3 * time.Second},
		{&o.KeepAlive, 3 * time.Second},
		{&o.Idle, 5 * time.Minute},
		{&o.MaxBackoff, 5 * time.Second},
		{&o.Grace, 5 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.long
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate says what can't be.
func (o *Options) Validate() error {
	if err := o.Identity.validate(); err != nil {
		return fmt.Errorf("rpc identity: %w", err)
	}
	if (o.ServerTLS == nil) != (o.ClientTLS == nil) {
		return errors.New("one side of rpc is secured and the other is not")
	}
	if o.MaxStreams < 0 || o.MaxRequests < 0 || o.MaxConns < 0 || o.MaxPeerConns < 0 {
		return errors.New("a limit of rpc is negative")
	}
	if o.HandshakeTimeout < 0 || o.KeepAlive < 0 || o.Idle < 0 || o.MaxBackoff < 0 || o.Grace < 0 {
		return errors.New("a duration of rpc is negative")
	}
	return nil
}
