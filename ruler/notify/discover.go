package notify

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"reflect"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// search is one discovery at work.
type search struct {
	config     discovery.Config
	discoverer discovery.Discoverer
	stop       context.CancelFunc // nil while it does not run

	groups map[string]*targetgroup.Group // by source; under the Notifier's lock
}

// newSearch does not run yet. What is fixed has been found at once.
func newSearch(c discovery.Config, logger *slog.Logger) (*search, error) {
	s := &search{config: c, groups: map[string]*targetgroup.Group{}}
	if static, ok := c.(discovery.StaticConfig); ok {
		s.found(static)
		return s, nil
	}
	// The libraries' own metrics have names of Prometheus', and are not shown.
	reg := prometheus.NewRegistry()
	var err error
	s.discoverer, err = c.NewDiscoverer(discovery.DiscovererOptions{
		Logger:  logger.With("discovery", c.Name()),
		Metrics: c.NewDiscovererMetrics(reg, discovery.NewRefreshMetrics(reg)),
		SetName: "alertmanagers",
	})
	return s, err
}

func (s *search) same(c discovery.Config) bool { return reflect.DeepEqual(s.config, c) }

// found notes an update, which is of some groups.
func (s *search) found(groups []*targetgroup.Group) {
	for _, g := range groups {
		switch {
		case g == nil:
		case len(g.Targets) == 0:
			delete(s.groups, g.Source)
		default:
			s.groups[g.Source] = g
		}
	}
}

// all are the groups in a fixed order.
func (s *search) all() []*targetgroup.Group {
	return slices.SortedFunc(maps.Values(s.groups), func(a, b *targetgroup.Group) int { return cmp.Compare(a.Source, b.Source) })
}

// run calls update with what is found, until ctx ends.
//
// It does not wait then until the discoverer has ended too: that one may be in the middle of looking up
// a name, which can't be interrupted and takes long while name servers do not answer.
func (s *search) run(ctx context.Context, update func([]*targetgroup.Group)) {
	if s.discoverer == nil {
		return
	}
	updates := make(chan []*targetgroup.Group)
	go s.discoverer.Run(ctx, updates)
	for {
		select {
		case <-ctx.Done():
			return
		case groups := <-updates:
			update(groups)
		}
	}
}
