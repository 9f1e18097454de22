package ruler_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ruler"
	"github.com/barograph-db/barograph/ruler/ledger"
)

// A group that a node can't read, since another has taken it, is shown with the reason.
func TestStatusOfUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.start(0)
		c := ledger.Command{Set: &ledger.Set{Source: ledger.Source{
			Namespace: "new", Name: "g", YAML: "name: g\nlabels: {team: x}\nrules:\n- {record: a, expr: 'newest_function(b)'}\n- {alert: A, expr: 'up == 0', for: 1m}\n",
		}}}
		_, err := ledger.DecodeResult(f.nodes[0].ledger.Apply(c.Encode()), 0)
		require.NoError(t, err)
		synctest.Wait()
		status := f.nodes[0].Status()
		require.Len(t, status, 1)
		require.Len(t, status[0].Rules, 2)
		require.Zero(t, status[0].Began)
		for i, want := range []string{"newest_function(b)", "up == 0"} {
			r := status[0].Rules[i]
			require.Equal(t, want, r.Query)
			require.Contains(t, r.Err, "newest_function")
			require.Equal(t, labels.FromStrings("team", "x"), r.Labels)
			require.False(t, r.Evaluated)
		}
	})
}

// A change that nobody agrees to is told apart from one that is wrong.
func TestRuleAPIWithoutQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.edit = func(o *ruler.Options) {
			o.Propose = func(ctx context.Context, _ []byte) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}
		f.start(0)
		mux := http.NewServeMux()
		for _, r := range f.nodes[0].Routes() {
			mux.Handle(r.Pattern, r.Handler)
		}
		ask := func(method, path, body string, header ...string) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
			for i := 0; i+1 < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			return w
		}
		group := "name: g\nrules: [{record: a, expr: b}]"
		began := time.Now()
		w := ask(http.MethodPost, "/config/v1/rules/team", group)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Contains(t, w.Body.String(), "not agreed upon")
		require.LessOrEqual(t, time.Since(began), 15*time.Second)
		require.Equal(t, http.StatusForbidden, ask(http.MethodPost, "/config/v1/rules/team", group, "Sec-Fetch-Site", "cross-site").Code)
		require.Equal(t, http.StatusForbidden, ask(http.MethodDelete, "/config/v1/rules/team", "", "Sec-Fetch-Site", "cross-site").Code)
		for _, namespace := range []string{"a%2Fb", "a%5Cb", "a%00b", "%ff", strings.Repeat("a", 257)} {
			w := ask(http.MethodPost, "/config/v1/rules/"+namespace, group)
			require.Equal(t, http.StatusBadRequest, w.Code, namespace)
		}
	})
}

// What a node brings along is agreed upon though that takes some trials.
func TestCarry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := ledger.New()
		for _, name := range []string{"a", "b"} {
			c := ledger.Command{Set: &ledger.Set{Source: ledger.Source{Namespace: "team", Name: name, YAML: "name: " + name + "\nrules: []\n"}}}
			before.Apply(c.Encode())
		}
		view, _ := before.View()
		f := newFleet(t, 1)
		var trials atomic.Int32
		f.edit = func(o *ruler.Options) {
			propose := o.Propose
			o.Propose = func(ctx context.Context, c []byte) ([]byte, error) {
				if trials.Add(1) < 4 {
					return nil, context.DeadlineExceeded
				}
				return propose(ctx, c)
			}
		}
		f.start(0)
		require.NoError(t, f.nodes[0].Carry(t.Context(), view.Groups))
		require.Len(t, f.nodes[0].Managed("team"), 2)
		require.Empty(t, f.nodes[0].Managed("other"))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		trials.Store(0)
		require.ErrorIs(t, f.nodes[0].Carry(gone, view.Groups), context.Canceled)
	})
}
