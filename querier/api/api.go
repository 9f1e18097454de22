package api

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/barograph-db/barograph/querier"
)

// API answers Prometheus' HTTP API. Its handlers are reached through Routes or Register.
type API struct {
	opts    Options
	metrics *metrics
	reads   chan struct{} // a place in it is a remote read's turn
	sites   *http.CrossOriginProtection
}

// New returns an API. It starts nothing.
func New(opts Options) (*API, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("query API: %w", err)
	}
	opts.EnsureDefaults()
	return &API{
		opts:    opts,
		metrics: newMetrics(opts.Registerer),
		reads:   make(chan struct{}, opts.MaxReads),
		sites:   http.NewCrossOriginProtection(),
	}, nil
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int // 0: the header is not out yet
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController flush.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// edge is the outermost layer of every handler: it counts, refuses what may not pass yet or at
// all, and turns a panic into an answer.
func (a *API) edge(name string, flags flag, next http.Handler) http.Handler {
	inFlight := a.metrics.inFlight.WithLabelValues(name)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w := &recorder{ResponseWriter: rw}
		inFlight.Inc()
		defer func() {
			cut := a.recovered(w, r, recover())
			inFlight.Dec()
			a.metrics.observe(name, w.status, start)
			if cut {
				panic(http.ErrAbortHandler)
			}
		}()
		if err := a.admit(r, flags); err != nil {
			a.respondError(w, r, err)
			return
		}
		ctx, account := a.opts.Engine.Account(r.Context())
		defer account.Close()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// recovered answers for a handler that panicked with p. When the answer has begun it says that the
// connection must be cut: nothing else tells the client that what it has is not all.
func (a *API) recovered(w *recorder, r *http.Request, p any) (cut bool) {
	switch p {
	case nil:
		return false
	case http.ErrAbortHandler:
	default:
		a.metrics.panics.Inc()
		a.opts.Logger.Error("handler panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
		if w.status == 0 {
			a.respondError(w, r, errors.New("unexpected error, see the log of the node"))
			return false
		}
	}
	a.metrics.dropped.Inc()
	if w.status == 0 {
		w.status = statusClientClosed
	}
	return true
}

// admit says why a request may not pass.
func (a *API) admit(r *http.Request, flags flag) error {
	if flags&admin != 0 {
		if err := a.sites.Check(r); err != nil {
			return fail(forbidden, err)
		}
		if !a.opts.Admin.Enabled {
			return fail(forbidden, errors.New("admin APIs disabled"))
		}
	}
	if flags&early == 0 && a.opts.Ready != nil && !a.opts.Ready() {
		return fail(unavailable, errors.New("the node is starting and not ready yet"))
	}
	return nil
}

// envelope runs a handler and writes what it returns.
func (a *API) envelope(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := newRequest(w, r, a.opts.MaxFormBytes)
		if err != nil {
			a.respondError(w, r, err)
			return
		}
		ans, err := a.handle(e, req)
		if ans.done != nil {
			defer ans.done()
		}
		switch {
		case err != nil:
			a.respondError(w, r, err)
		case ans.data == nil:
			noContent(w, r)
		default:
			a.respond(w, r, ans)
		}
	})
}

// handle calls the handler. With partial_response it may answer without what no node has, and the
// answer says so.
func (a *API) handle(e endpoint, r request) (answer, error) {
	partial, err := r.boolean("partial_response")
	switch {
	case err != nil:
		return answer{}, err
	case !partial:
		return a.inTurn(e, r)
	}
	ctx, missing := querier.AllowPartial(r.Context())
	r.Request = r.WithContext(ctx)
	ans, err := a.inTurn(e, r)
	for _, m := range missing() {
		ans.warnings.Add(m)
	}
	return ans, err
}

// inTurn calls the handler, in its turn if it reads.
func (a *API) inTurn(e endpoint, r request) (answer, error) {
	if e.flags&reads == 0 {
		return e.handle(a, r)
	}
	ctx, done, err := a.opts.Engine.Turn(r.Context())
	if err != nil {
		return answer{}, err
	}
	defer done()
	r.Request = r.WithContext(ctx)
	return e.handle(a, r)
}

func (a *API) respond(w http.ResponseWriter, r *http.Request, ans answer) {
	b := newBody(w, r, http.StatusOK, jsonType)
	if err := ans.write(b); err != nil {
		b.discard()
		a.respondError(w, r, fail(internal, err))
		return
	}
	if err := b.close(); err != nil {
		a.metrics.dropped.Inc()
	}
}

func (a *API) respondError(w http.ResponseWriter, r *http.Request, err error) {
	k := classify(err)
	k.header(w.Header())
	b := newBody(w, r, kinds[k].status, jsonType)
	writeError(b, k, err)
	if err := b.close(); err != nil {
		a.metrics.dropped.Inc()
	}
}
