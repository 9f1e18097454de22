package repair

import (
	"context"
	"fmt"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

// askTimeout is how long another node may take for its digests.
const askTimeout = 2 * time.Minute

// comparison is of some shards of this node, in a stretch of time, with the other replicas.
type comparison struct {
	*Repairer
	placement *placement.Placement
	question  Question
	// look says that what differs is not fetched yet: the slots are too wide.
	look bool

	met       met
	here      []series.Digest
	stale     bool // here: something was fetched since
	different bool
	some      bool // somebody has samples
	err       error
}

// run compares with one node after the other. What fails is not in met.
func (c *comparison) run(ctx context.Context) {
	c.stale = true
	for _, n := range c.placement.Nodes {
		shards := shared(c.placement, list(c.question.Shards), n.ID)
		if n.ID == c.opts.Self || len(shards) == 0 || !c.opts.Alive(n.ID) {
			continue
		}
		if err := c.with(ctx, n, shards); err != nil {
			c.err = fmt.Errorf("compare with %s: %w", n.Name, err)
			if ctx.Err() != nil {
				return
			}
		}
	}
}

func some(digests []series.Digest) bool {
	for _, d := range digests {
		if d.Samples > 0 {
			return true
		}
	}
	return false
}

// with compares with one node.
func (c *comparison) with(ctx context.Context, n placement.Node, shards []series.Shard) (err error) {
	if c.stale {
		if c.here, err = c.digests(ctx, c.question); err != nil {
			return err
		}
		c.stale, c.some = false, c.some || some(c.here)
	}
	q := c.question
	q.Shards = setOf(c.placement.Bits, shards)
	here := only(c.question, c.here, q)
	there, err := c.ask(ctx, n.ID, q)
	if err != nil {
		return err
	}
	cells := 0
	for i := range here {
		if here[i] != there.digests[i] {
			cells++
		}
	}
	c.metrics.compared.Add(float64(len(here)))
	c.some, c.different = c.some || some(there.digests), c.different || cells > 0
	if cells > 0 && c.look {
		return nil
	}
	if cells > 0 {
		c.metrics.differing.Add(float64(cells))
		fetched, err := c.fetchAll(ctx, n.ID, q, here, there.digests)
		c.stale = fetched > 0
		c.opts.Logger.Info("Replicas have other samples: what was missing here was fetched", "node", n.Name,
			"from", time.UnixMilli(q.Mint).UTC(), "to", time.UnixMilli(q.Maxt).UTC(), "slots", cells,
			"samples_here", samples(here), "samples_there", samples(there.digests), "fetched", fetched)
		if err != nil {
			return err
		}
	}
	for _, s := range shards {
		c.met[meeting{s, n.ID}] = !there.forgot
	}
	return nil
}

func samples(digests []series.Digest) (n uint64) {
	for _, d := range digests {
		n += d.Samples
	}
	return n
}

// fetchAll fetches from a node what it has in the shards of a question and this one has not.
func (c *comparison) fetchAll(ctx context.Context, from placement.NodeID, q Question, here, there []series.Digest) (fetched int64, err error) {
	empty, mixed := differing(q, here, there)
	whole := q
	whole.Shards = setOf(q.Shards.Bits, empty)
	if len(empty) > 0 {
		if fetched, err = c.fetch(ctx, from, fetches(whole, only(q, here, whole), only(q, there, whole), fetchSamples)); err != nil {
			return fetched, err
		}
	}
	for len(mixed) > 0 {
		n := min(len(mixed), max(1, maxCells>>partBits/q.slots()))
		some := q
		some.Shards = setOf(q.Shards.Bits, mixed[:n])
		got, err := c.fetchParts(ctx, from, some, only(q, here, some), only(q, there, some))
		fetched += got
		if err != nil {
			return fetched, err
		}
		mixed = mixed[n:]
	}
	return fetched, nil
}

// fetchParts finds out in which parts of shards a node has others, and fetches these.
func (c *comparison) fetchParts(ctx context.Context, from placement.NodeID, q Question, here, there []series.Digest) (int64, error) {
	parts := finer(q.Shards.Bits, list(q.Shards))
	parts.Mint, parts.Maxt = stretchOf(q, here, there)
	parts.Slot = q.Slot
	ours, err := c.digests(ctx, parts)
	if err != nil {
		return 0, err
	}
	theirs, err := c.ask(ctx, from, parts)
	if err != nil {
		return 0, err
	}
	return c.fetch(ctx, from, fetches(parts, ours, theirs.digests, fetchSamples))
}

func (c *comparison) fetch(ctx context.Context, from placement.NodeID, stretches []Stretch) (fetched int64, err error) {
	for _, s := range stretches {
		n, err := c.opts.Fetch(ctx, from, s, func(bytes int) error {
			c.metrics.bytes.Add(float64(bytes))
			return c.opts.Throttle.Take(ctx, bytes)
		})
		fetched += n
		c.metrics.samples.Add(float64(n))
		if err != nil {
			return fetched, fmt.Errorf("fetch: %w", err)
		}
	}
	return fetched, nil
}

// ask asks another node a question.
func (r *Repairer) ask(ctx context.Context, node placement.NodeID, q Question) (answer, error) {
	b, err := r.call(ctx, node, DigestMethod, q.encode())
	if err != nil {
		return answer{}, err
	}
	return decodeAnswer(b, len(list(q.Shards))*q.slots())
}

func (r *Repairer) call(ctx context.Context, node placement.NodeID, method string, req []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return r.opts.Call(ctx, node, method, req)
}

// digests of this node's samples, one question at a time, whoever asks.
func (r *Repairer) digests(ctx context.Context, q Question) ([]series.Digest, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	begin := time.Now()
	defer func() { r.metrics.digesting.Add(time.Since(begin).Seconds()) }()
	return r.opts.Digests(ctx, q)
}
