package main

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// ruleAPI is a server that keeps groups as the rule API does: namespace, then name.
type ruleAPI struct {
	mu     sync.Mutex
	groups map[string]map[string]map[string]any
	full   bool
}

func (a *ruleAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	namespace, group := r.PathValue("namespace"), r.PathValue("group")
	there := a.groups[namespace][group] != nil || group == "" && len(a.groups[namespace]) > 0 ||
		namespace == "" && len(a.groups) > 0
	switch {
	case r.Method == http.MethodPost && a.full:
		http.Error(w, "too many groups", http.StatusUnprocessableEntity)
	case r.Method == http.MethodPost:
		text, _ := io.ReadAll(r.Body)
		var g map[string]any
		if err := yaml.Unmarshal(text, &g); err != nil || r.Header.Get("Content-Type") != "application/yaml" {
			http.Error(w, "no group", http.StatusBadRequest)
			return
		}
		if a.groups[namespace] == nil {
			a.groups[namespace] = map[string]map[string]any{}
		}
		a.groups[namespace][g["name"].(string)] = g
		w.WriteHeader(http.StatusAccepted)
	case !there:
		http.Error(w, "no rule groups found", http.StatusNotFound)
	case r.Method == http.MethodDelete:
		maps.DeleteFunc(a.groups[namespace], func(name string, _ map[string]any) bool { return group == "" || group == name })
		if len(a.groups[namespace]) == 0 {
			delete(a.groups, namespace)
		}
		w.WriteHeader(http.StatusAccepted)
	case group != "":
		_ = yaml.NewEncoder(w).Encode(a.groups[namespace][group])
	default:
		all := map[string][]any{}
		for ns, groups := range a.groups {
			for _, g := range groups {
				if namespace == "" || ns == namespace {
					all[ns] = append(all[ns], g)
				}
			}
		}
		_ = yaml.NewEncoder(w).Encode(all)
	}
}

func startRuleAPI(t *testing.T) (*ruleAPI, string) {
	a, mux := &ruleAPI{groups: map[string]map[string]map[string]any{}}, http.NewServeMux()
	for _, pattern := range []string{
		"GET /config/v1/rules", "GET /config/v1/rules/{namespace}", "GET /config/v1/rules/{namespace}/{group}",
		"POST /config/v1/rules/{namespace}", "DELETE /config/v1/rules/{namespace}", "DELETE /config/v1/rules/{namespace}/{group}",
	} {
		mux.Handle(pattern, a)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		s.CloseClientConnections()
		s.Close()
	})
	return a, s.URL
}

func TestRuleAPICommands(t *testing.T) {
	api, url := startRuleAPI(t)
	rules := func(args ...string) (int, string, string) {
		return do(append([]string{"rules", args[0], "--url=" + url}, args[1:]...)...)
	}
	code, out, errOut := rules("list")
	require.Equal(t, 0, code, errOut)
	require.Equal(t, "NAMESPACE  GROUP  RULES  INTERVAL\n", out)

	code, out, errOut = rules("load", "--namespace=site a", "testdata/rules/site.rules.yml")
	require.Equal(t, 0, code, errOut)
	require.Equal(t, "testdata/rules/site.rules.yml: group requests is loaded\ntestdata/rules/site.rules.yml: group health is loaded\n", out)
	code, _, errOut = rules("load", "--namespace=b", "testdata/rules/clash.rules.yml")
	require.Equal(t, 0, code, errOut)

	_, out, _ = rules("list", "b")
	require.Equal(t, "NAMESPACE  GROUP  RULES  INTERVAL\nb          clash  2      default\n", out)
	_, out, _ = rules("list", "site a")
	require.Contains(t, out, "site a     requests  2      30s\n")

	code, out, errOut = rules("get", "site a", "requests")
	require.Equal(t, 0, code, errOut)
	path := filepath.Join(t.TempDir(), "again.yml")
	require.NoError(t, os.WriteFile(path, []byte("groups:\n  - "+strings.ReplaceAll(strings.TrimSpace(out), "\n", "\n    ")), 0o600))
	code, out, errOut = do("check", "rules", path)
	require.Equal(t, 0, code, errOut)
	require.Contains(t, out, ": 2 rules found")

	code, _, errOut = rules("get", "site a", "none")
	require.Equal(t, 1, code)
	require.Equal(t, "barograph: there is no group \"none\" in namespace \"site a\"\n", errOut)
	code, _, errOut = rules("delete", "none")
	require.Equal(t, 1, code)
	require.Equal(t, "barograph: there is no group in namespace \"none\"\n", errOut)
	code, out, errOut = rules("delete", "site a", "requests")
	require.Equal(t, 0, code, errOut)
	require.Equal(t, "deleted\n", out)
	require.Len(t, api.groups["site a"], 1)
	code, _, errOut = rules("delete", "site a")
	require.Equal(t, 0, code, errOut)
	require.NotContains(t, api.groups, "site a")

	code, _, errOut = rules("load", "--namespace=x", "testdata/rules/site.rules.yml", "testdata/rules/broken.rules.yml")
	require.Equal(t, 1, code)
	require.Contains(t, errOut, "testdata/rules/broken.rules.yml:5:15: ")
	require.NotContains(t, api.groups, "x", "nothing is loaded when a file is bad")
	code, _, errOut = rules("load", "--namespace=x", "testdata/rules/clash.rules.yml", "testdata/rules/clash.rules.yml")
	require.Equal(t, 1, code)
	require.Contains(t, errOut, `group "clash" is in `)
	code, _, errOut = rules("list", "..")
	require.Equal(t, 1, code)
	require.Equal(t, "barograph: \"..\" can't stand in an address\n", errOut)
	api.full = true
	code, _, errOut = rules("load", "--namespace=x", "testdata/rules/clash.rules.yml")
	require.Equal(t, 1, code)
	require.Equal(t, "barograph: group \"clash\": "+url+" answers 422 Unprocessable Entity: too many groups (0 of 1 groups are loaded)\n", errOut)
}
