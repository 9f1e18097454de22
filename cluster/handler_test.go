package cluster

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
)

// fakeManager fails as it is told.
type fakeManager struct {
	err  error
	last string
}

func (m *fakeManager) Status() Status { return Status{Cluster: "test", Epoch: 7} }

func (m *fakeManager) Drain(_ context.Context, node string) error {
	m.last = "drain " + node
	return m.err
}

func (m *fakeManager) Remove(_ context.Context, node string, force bool) error {
	m.last = "remove " + node
	if force {
		m.last += " by force"
	}
	return m.err
}

func TestHandlers(t *testing.T) {
	m := &fakeManager{}
	mux := http.NewServeMux()
	for _, r := range routes(m, true) {
		mux.Handle(r.Pattern, r.Handler)
	}
	ask := func(method, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	w := ask("GET", "/api/v1/cluster/status", nil)
	require.Equal(t, 200, w.Code)
	require.Contains(t, w.Body.String(), `"epoch":7`)

	w = ask("POST", "/api/v1/cluster/drain", url.Values{"node": {"a"}})
	require.Equal(t, 200, w.Code)
	require.Equal(t, "drain a", m.last)
	require.JSONEq(t, `{"status":"success"}`, w.Body.String())
	ask("POST", "/api/v1/cluster/remove", url.Values{"node": {"b"}, "force": {"true"}})
	require.Equal(t, "remove b by force", m.last)

	m.last = ""
	w = ask("POST", "/api/v1/cluster/drain", url.Values{"node": {"a"}}, "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Empty(t, m.last)

	for _, tc := range []struct {
		err    error
		status int
	}{
		{ErrUnknownNode, 404},
		{ErrAmbiguous, 422},
		{ErrAlive, 422},
		{placement.ErrLastReplica, 422},
		{ErrNoRegion, 503},
		{errors.New("no leader"), 503},
	} {
		m.err = tc.err
		w = ask("POST", "/api/v1/cluster/remove", url.Values{"node": {"c"}})
		require.Equal(t, tc.status, w.Code, tc.err)
		require.Contains(t, w.Body.String(), tc.err.Error())
	}
}

// Without the right to, nothing is changed, and looking is allowed.
func TestHandlersWithoutAdmin(t *testing.T) {
	m := &fakeManager{}
	mux := http.NewServeMux()
	for _, r := range routes(m, false) {
		mux.Handle(r.Pattern, r.Handler)
	}
	for path, status := range map[string]int{"POST drain": 403, "POST remove": 403, "GET status": 200} {
		method, action, _ := strings.Cut(path, " ")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, "/api/v1/cluster/"+action+"?node=a", nil))
		require.Equal(t, status, w.Code, path)
		if status == http.StatusForbidden {
			require.Contains(t, w.Body.String(), `"errorType":"unavailable","error":"this node may not change the cluster: start it with --web.enable-admin-api`)
		}
	}
	require.Empty(t, m.last)
}

func TestFindNode(t *testing.T) {
	twin := node(4)
	twin.Name = "n3"
	p, err := placement.Found(4, 2, []placement.Node{node(1), node(2), node(3), twin})
	require.NoError(t, err)
	n, err := findNode(p, "n1")
	require.NoError(t, err)
	require.Equal(t, node(1), n)
	n, err = findNode(p, twin.ID.String())
	require.NoError(t, err)
	require.Equal(t, twin, n)
	_, err = findNode(p, "n3")
	require.ErrorIs(t, err, ErrAmbiguous)
	for _, nobody := range []string{"", "n9", node(9).ID.String()} {
		_, err = findNode(p, nobody)
		require.ErrorIs(t, err, ErrUnknownNode)
		require.ErrorContains(t, err, "n1, n2, n3, n3")
	}
}

func TestStatusCounts(t *testing.T) {
	p, err := placement.Found(4, 3, []placement.Node{node(1), node(2), node(3)})
	require.NoError(t, err)
	count := func(dead ...int) (s Status) {
		s.count(p, func(id placement.NodeID) bool {
			for _, d := range dead {
				if node(d).ID == id {
					return false
				}
			}
			return true
		})
		return s
	}
	require.Zero(t, count().Thin)
	one := count(1)
	require.Equal(t, []int{16, 0, 0}, []int{one.Thin, one.Unwritable, one.Unreadable})
	two := count(1, 2)
	require.Equal(t, []int{16, 16, 0}, []int{two.Thin, two.Unwritable, two.Unreadable})
	three := count(1, 2, 3)
	require.Equal(t, []int{16, 16, 16}, []int{three.Thin, three.Unwritable, three.Unreadable})
}
