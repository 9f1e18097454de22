package trust

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"sync"
	"sync/atomic"
	"time"
)

// Store holds what is in force.
type Store struct {
	opts    Options
	metrics *metrics
	now     atomic.Pointer[material]
	reload  sync.Mutex    // one at a time
	renewed chan struct{} // for Run: there is another material
}

// Open reads the files. It is an error if they are not as they have to be.
func Open(opts Options) (*Store, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	s := &Store{opts: opts, renewed: make(chan struct{}, 1)}
	m, err := load(&s.opts, time.Now())
	if err != nil {
		return nil, err
	}
	s.metrics = newMetrics(opts.Registerer, opts.tls())
	s.put(m)
	return s, nil
}

// Reload reads the files again. After an error everything is as it was.
func (s *Store) Reload() error {
	s.reload.Lock()
	defer s.reload.Unlock()
	m, err := load(&s.opts, time.Now())
	if err != nil {
		return err
	}
	s.put(m)
	select {
	case s.renewed <- struct{}{}:
	default:
	}
	return nil
}

func (s *Store) put(m *material) {
	s.now.Store(m)
	s.metrics.set(m)
}

// TLS says whether connections are secured.
func (s *Store) TLS() bool { return s.opts.tls() }

// GossipKeys are the keys of gossip, of which the first encrypts; none is plain. The caller may not
// change them.
func (s *Store) GossipKeys() [][]byte { return s.now.Load().keys }

// ServerTLS is for the next connection that is accepted.
func (s *Store) ServerTLS() *tls.Config {
	m := s.now.Load()
	c := s.config(m)
	// The library checks what the caller shows, and tells it what is wrong more exactly than we could.
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, m.pool
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		return m.verify(cs.PeerCertificates, s.opts.ServerName, x509.ExtKeyUsageClientAuth, time.Now())
	}
	return c
}

// ClientTLS is for the next connection that is dialled.
func (s *Store) ClientTLS() *tls.Config {
	m := s.now.Load()
	c := s.config(m)
	c.RootCAs = m.pool
	// It is verified below instead, by everything but the address.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		return m.verify(cs.PeerCertificates, s.opts.ServerName, x509.ExtKeyUsageServerAuth, time.Now())
	}
	return c
}

func (s *Store) config(m *material) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{*m.cert},
		SessionTicketsDisabled: true, // Each connection is to be looked at anew.
	}
}

// warnBefore is how long before the end of a certificate the log tells of it, once a day.
const (
	warnBefore = 14 * 24 * time.Hour
	warnEvery  = 24 * time.Hour
)

// Run tells the log of certificates that end soon, or have ended, until ctx ends.
func (s *Store) Run(ctx context.Context) {
	if !s.TLS() {
		return
	}
	for {
		timer := time.NewTimer(s.warn(time.Now()))
		select {
		case <-timer.C:
		case <-s.renewed:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// warn tells what is to be told, and returns when to look again.
func (s *Store) warn(now time.Time) time.Duration {
	own, authority := s.now.Load().ends()
	next := warnEvery
	for _, c := range []struct {
		path string
		end  time.Time
	}{{s.opts.CertFile, own}, {s.opts.CAFile, authority}} {
		left := c.end.Sub(now)
		switch {
		case left < 0:
			s.opts.Logger.Error("A certificate has expired: nodes make no new connections with it. Put another in its place and reload",
				"file", c.path, "expired", c.end.UTC())
		case left < warnBefore:
			s.opts.Logger.Warn("A certificate expires soon. Put another in its place and reload", "file", c.path, "expires", c.end.UTC())
			next = min(next, left+time.Second)
		default:
			next = min(next, left-warnBefore+time.Second)
		}
	}
	return next
}
