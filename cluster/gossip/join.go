package gossip

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"
)

// Bounds of joining.
const (
	maxJoin       = 64               // Addresses to join, as configured.
	maxResolved   = 256              // Addresses that they resolve to.
	triesAlone    = 16               // Addresses tried in a round by a node that is alone.
	triesTogether = 3                // The same, by one that has others.
	joinTogether  = 15 * time.Second // Between rounds of a node that has others; most for one alone.
	joinAlone     = time.Second      // Between the first rounds of a node that is alone.
	afterRival    = 500 * time.Millisecond
	lookupTimeout = 5 * time.Second
)

// keepJoining exchanges states with those who are to be members and are not, for ever: at first to
// join, later so that a cluster that was split becomes one again. memberlist forgets its dead.
func (p *Pool) keepJoining(ctx context.Context, list *memberlist.Memberlist) error {
	for failures := 0; ; {
		rivals := p.heardRivals()
		if err := p.judge(list, rivals); err != nil {
			return err
		}
		s := p.situation(ctx, len(rivals) > 0)
		targets := s.targets(rand.Shuffle)
		if p.join(ctx, list, targets) {
			failures = 0
		} else {
			failures++
		}
		p.forgetGone(time.Now())
		if !p.wait(ctx, pause(s.alone() && len(targets) > 0, failures, rand.Float64())) {
			return nil
		}
	}
}

// pause is how long to wait before the next round; a is from 0 to 1, and keeps nodes out of step.
func pause(alone bool, failures int, a float64) time.Duration {
	d := joinTogether
	if alone {
		d = min(joinAlone<<min(max(failures-1, 0), 10), joinTogether)
	}
	return time.Duration(float64(d) * (0.8 + 0.4*a))
}

// wait waits so long, or less if a rival is heard of; false if ctx ends.
func (p *Pool) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.rivals:
		t.Reset(afterRival)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// situation is what the choice of targets depends on.
type situation struct {
	self    netip.AddrPort
	seeds   []netip.AddrPort
	members []Member
	rivals  bool // Others know this node at another address: it has not joined.
	left    bool
}

func (p *Pool) situation(ctx context.Context, rivals bool) situation {
	s := situation{self: p.self(), rivals: rivals, members: p.Members(), left: p.isLeaving()}
	if !s.left {
		s.seeds = p.resolve(ctx)
	}
	return s
}

// alone says whether no other member lives.
func (s *situation) alone() bool {
	return !slices.ContainsFunc(s.members, func(m Member) bool {
		return m.State == Alive && m.GossipAddr != s.self.String()
	})
}

// targets chooses the addresses to try: seeds and dead members that are not where a living member
// is, and some living ones if they do not know this node as it is.
func (s *situation) targets(shuffle func(n int, swap func(i, j int))) []netip.AddrPort {
	if s.left {
		return nil
	}
	living, missing := []netip.AddrPort{}, slices.Clone(s.seeds)
	for _, m := range s.members {
		addr, err := netip.ParseAddrPort(m.GossipAddr)
		switch {
		case err != nil:
		case m.State == Alive:
			living = append(living, addr)
		case m.State == Dead:
			missing = append(missing, addr)
		}
	}
	slices.SortFunc(missing, netip.AddrPort.Compare)
	missing = slices.DeleteFunc(slices.Compact(missing), func(a netip.AddrPort) bool {
		return a == s.self || slices.Contains(living, a)
	})
	living = slices.DeleteFunc(living, func(a netip.AddrPort) bool { return a == s.self })
	limit := triesAlone
	if len(living) > 0 {
		limit = triesTogether
	}
	pick := func(list []netip.AddrPort) []netip.AddrPort {
		shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list[:min(len(list), limit)]
	}
	targets := pick(missing)
	if s.rivals {
		targets = append(targets, pick(living)...)
	}
	return targets
}

// resolve looks up all addresses to join.
func (p *Pool) resolve(ctx context.Context) []netip.AddrPort {
	var found []netip.AddrPort
	for _, s := range p.seeds {
		if ip, err := netip.ParseAddr(s.host); err == nil {
			found = append(found, netip.AddrPortFrom(ip.Unmap(), s.port))
			continue
		}
		lookup, cancel := context.WithTimeout(ctx, lookupTimeout)
		ips, err := p.opts.Resolve(lookup, s.host)
		cancel()
		if err != nil && ctx.Err() == nil {
			p.metrics.unresolved.Inc()
			p.log.Warn("address to join cannot be resolved", "name", s.host, "err", err)
		}
		for _, ip := range ips {
			found = append(found, netip.AddrPortFrom(ip.Unmap(), s.port))
		}
	}
	return found[:min(len(found), maxResolved)]
}

// join exchanges states with the targets, a few at a time, and says whether one answered.
func (p *Pool) join(ctx context.Context, list *memberlist.Memberlist, targets []netip.AddrPort) bool {
	var done atomic.Bool
	var g errgroup.Group
	g.SetLimit(4)
	for _, addr := range targets {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			if _, err := list.Join([]string{addr.String()}); err != nil {
				p.metrics.joins[0].Inc()
				if words, ok := mismatch(err.Error()); ok {
					p.metrics.keyMismatches.Inc()
					p.log.Warn("cannot gossip with an address to join", "address", addr, "reason", words)
				} else {
					p.log.Debug("join", "address", addr, "err", err)
				}
				return nil
			}
			p.metrics.joins[1].Inc()
			done.Store(true)
			return nil
		})
	}
	_ = g.Wait() // No function fails.
	return done.Load()
}
