package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
)

const maxHeaderBytes = 256 << 10

// server is the HTTP side of the node: listeners, timeouts and what every answer carries.
type server struct {
	listeners []net.Listener
	servers   []*http.Server
	webConfig string
	drain     time.Duration
	logger    *slog.Logger
}

// newServer serves h on listeners. Each listener has a server of its own, since the
// exporter-toolkit wraps a server's handler when it begins to serve.
func newServer(listeners []net.Listener, limit *connLimit, h http.Handler, w Web, webConfig string, logger *slog.Logger) *server {
	s := &server{webConfig: webConfig, drain: time.Duration(w.DrainTimeout), logger: logger}
	h = secure(h)
	for _, l := range listeners {
		s.listeners = append(s.listeners, &limitedListener{Listener: l, limit: limit})
		s.servers = append(s.servers, &http.Server{
			Handler:           h,
			ReadHeaderTimeout: time.Duration(w.HeaderTimeout),
			IdleTimeout:       time.Duration(w.IdleTimeout),
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		})
	}
	return s
}

// run serves until shutdown was called. A listener that fails is told at once; the others go on.
func (s *server) run(failed func(error)) {
	var wg sync.WaitGroup
	for i, l := range s.listeners {
		wg.Go(func() {
			defer l.Close()
			err := web.Serve(l, s.servers[i], &web.FlagConfig{WebConfigFile: &s.webConfig}, s.logger)
			if !errors.Is(err, http.ErrServerClosed) {
				failed(fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err))
			}
		})
	}
	wg.Wait()
}

// shutdown closes the listeners and gives requests the drain timeout to end.
func (s *server) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	var wg sync.WaitGroup
	for i, srv := range s.servers {
		wg.Go(func() {
			if srv.Shutdown(ctx) != nil {
				s.logger.Warn("Requests did not end in time and were cut off", "address", s.listeners[i].Addr(), "timeout", s.drain)
				_ = srv.Close() // What it may say, Shutdown has met already.
			}
		})
	}
	wg.Wait()
}

// secure puts on each answer what keeps browsers from using this server against its user, and
// refuses requests that change something when another site's page sent them.
func secure(h http.Handler) http.Handler {
	sameSite := http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
		header.Set("Referrer-Policy", "no-referrer")
		sameSite.ServeHTTP(w, r)
	})
}

// bodyDeadline bounds the time in which h may read a request's body.
func bodyDeadline(timeout time.Duration, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			control := http.NewResponseController(w)
			// An error means that the connection has no deadlines; then there is none to take off.
			_ = control.SetReadDeadline(time.Now().Add(timeout))
			r.Body = &timedBody{r.Body, control}
		}
		h.ServeHTTP(w, r)
	})
}

// timedBody takes the deadline off at the body's end: the server goes on reading then, to learn of
// a client that leaves, and a deadline would look like one.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read reads from the body.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
