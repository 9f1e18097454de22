package notify

import (
	"context"
	"net/http"
	"reflect"

	"github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// set is a SetConfig in force.
type set struct {
	config   *SetConfig
	client   *http.Client
	searches []*search
}

// newSet takes over the searches and the client of old sets where their settings are the same; those
// searches are noted as taken.
func newSet(c *SetConfig, old []*set, taken map[*search]bool, opts *Options) (*set, error) {
	s := &set{config: c}
	for _, o := range old {
		if reflect.DeepEqual(o.config.HTTPClient, c.HTTPClient) {
			s.client = o.client
		}
	}
	if s.client == nil {
		var err error
		s.client, err = config.NewClientFromConfig(c.HTTPClient, "alertmanager",
			config.WithUserAgent(opts.UserAgent), config.WithDialContextFunc(opts.Dial))
		if err != nil {
			return nil, err
		}
	}
	for _, d := range c.Discovery {
		f := earlier(d, old, taken)
		if f == nil {
			var err error
			if f, err = newSearch(d, opts.Logger); err != nil {
				return nil, err
			}
		}
		taken[f] = true
		s.searches = append(s.searches, f)
	}
	return s, nil
}

// earlier is a search of the old sets for the same, if none has taken it.
func earlier(c discovery.Config, old []*set, taken map[*search]bool) *search {
	for _, o := range old {
		for _, f := range o.searches {
			if !taken[f] && f.same(c) {
				return f
			}
		}
	}
	return nil
}

// leave ends what no other set has taken over.
func (s *set) leave(taken map[*search]bool) {
	for _, f := range s.searches {
		if !taken[f] && f.stop != nil {
			f.stop()
		}
	}
	s.client.CloseIdleConnections() // One that is taken over opens others.
}

// targets that have been found.
func (s *set) targets() targets {
	var groups []*targetgroup.Group
	for _, f := range s.searches {
		groups = append(groups, f.all()...)
	}
	return s.config.targets(groups)
}

// searchLocked starts the set's searches, if Run is at work.
func (n *Notifier) searchLocked(s *set) {
	if n.mu.ctx == nil || n.mu.ctx.Err() != nil {
		return
	}
	for _, f := range s.searches {
		if f.stop != nil {
			continue
		}
		var ctx context.Context
		ctx, f.stop = context.WithCancel(n.mu.ctx)
		n.parts.Go(func() {
			f.run(ctx, func(groups []*targetgroup.Group) {
				n.mu.Lock()
				defer n.mu.Unlock()
				f.found(groups)
				n.routeLocked()
			})
		})
	}
}
