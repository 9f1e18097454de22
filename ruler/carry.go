package ruler

import (
	"context"
	"errors"

	"github.com/barograph-db/barograph/ruler/ledger"
)

// Carry brings along groups that this node had while it was by itself, and all that was known of them.
// It is called before Run, so that the node's files find them there. It returns when each group is
// agreed upon, or was refused, which the log says, or with ctx's error when that ends.
func (r *Ruler) Carry(ctx context.Context, groups []*ledger.Group) error {
	for _, g := range groups {
		for wait := firstBackoff; ; wait = min(2*wait, longestBackoff) {
			_, err := r.change(ctx, &ledger.Command{Carry: g.Record()})
			var refused *ledger.RefusedError
			if errors.As(err, &refused) {
				r.opts.Logger.Error("A group of rules of this node is refused by the others and left behind", "group", g.Key.String(), "err", err)
				break
			}
			if err == nil {
				break
			}
			if !sleep(ctx, wait) {
				return ctx.Err()
			}
		}
	}
	return nil
}
