package querier

import (
	"context"

	"github.com/barograph-db/barograph/querier/fanout"
)

// AllowPartial returns a context in which answers may lack shards that no node can answer for, and a
// function that says which and why.
func AllowPartial(ctx context.Context) (_ context.Context, missing func() []error) {
	ctx, m := fanout.Allow(ctx)
	return ctx, m.Warnings
}
