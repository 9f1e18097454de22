package repair

import (
	"context"
	"errors"

	"github.com/barograph-db/barograph/storage/series"
)

// ErrNotWhole refuses digests of shards that this node does not hold whole, by the placement that it
// knows.
var ErrNotWhole = errors.New("the node does not hold all of these shards whole")

// Serve answers a question of another node.
func (r *Repairer) Serve(ctx context.Context, req []byte) ([]byte, error) {
	q, err := decodeQuestion(req)
	if err != nil {
		return nil, err
	}
	if !r.holds(q.Shards) {
		return nil, ErrNotWhole
	}
	// Before the digests: what is lost meanwhile may be in neither.
	a := answer{forgot: r.forgot(q.Mint, q.Maxt)}
	if a.digests, err = r.digests(ctx, q); err != nil {
		return nil, err
	}
	a.forgot = a.forgot || r.forgot(q.Mint, q.Maxt)
	r.metrics.answered.Add(float64(len(a.digests)))
	return a.encode(), nil
}

// holds reports whether this node holds all of some shards, or of parts of them, whole.
func (r *Repairer) holds(set *series.ShardSet) bool {
	p := r.opts.Placement()
	if p == nil || set.Bits < p.Bits {
		return false
	}
	for _, s := range list(set) {
		if !holdsWhole(p, s>>(set.Bits-p.Bits), r.opts.Self) {
			return false
		}
	}
	return true
}

// forgot reports whether this node has lost something of a stretch of time.
func (r *Repairer) forgot(mint, maxt int64) bool {
	for _, g := range r.Gaps() {
		if g.Forgot && g.From <= maxt && mint <= g.To {
			return true
		}
	}
	return false
}
