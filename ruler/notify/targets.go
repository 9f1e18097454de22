package notify

import (
	"fmt"
	"net/url"
	"path"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// pathLabel is the label of a target that holds the path alerts are posted to.
const pathLabel = "__alerts_path__"

// targets are what groups of targets come to.
type targets struct {
	active  []string // URLs, each once
	dropped []string // those that relabelling dropped, as they were before
	invalid []error
}

// targets returns the URLs that the set's discovery leads to.
func (c *SetConfig) targets(groups []*targetgroup.Group) targets {
	var t targets
	known := map[string]bool{}
	lb := labels.NewBuilder(labels.EmptyLabels())
	for _, g := range groups {
		for _, own := range g.Targets {
			lb.Reset(labels.EmptyLabels())
			lb.Set(model.SchemeLabel, c.Scheme)
			lb.Set(pathLabel, path.Join("/", c.PathPrefix, "/api/"+apiVersion+"/alerts"))
			for name, value := range g.Labels {
				lb.Set(string(name), string(value))
			}
			for name, value := range own {
				lb.Set(string(name), string(value))
			}
			before := targetURL(lb)
			if !relabel.ProcessBuilder(lb, c.RelabelConfigs...) {
				t.dropped = append(t.dropped, before.String())
				continue
			}
			u, err := checkedURL(lb)
			switch {
			case err != nil:
				t.invalid = append(t.invalid, err)
			case !known[u]:
				known[u] = true
				t.active = append(t.active, u)
			}
		}
	}
	return t
}

func targetURL(lb *labels.Builder) *url.URL {
	return &url.URL{Scheme: lb.Get(model.SchemeLabel), Host: lb.Get(model.AddressLabel), Path: lb.Get(pathLabel)}
}

func checkedURL(lb *labels.Builder) (string, error) {
	u := targetURL(lb)
	if err := checkAddress(u.Host); err != nil {
		return "", err
	}
	if !isScheme(u.Scheme) {
		return "", fmt.Errorf("scheme %q of target %q is neither http nor https", u.Scheme, u.Host)
	}
	if _, err := url.Parse(u.String()); err != nil {
		return "", err
	}
	return u.String(), nil
}
