package leaf

import "context"

type epochKey struct{}

// At returns a context for questions that were planned by the placement of an epoch. A node that does not
// hold what it is asked for, as it knows, or knows no placement as new, refuses: see Failure.Stale.
func At(ctx context.Context, epoch uint64) context.Context {
	return context.WithValue(ctx, epochKey{}, epoch)
}

// EpochOf returns the epoch of a question, 0 if it was planned by none.
func EpochOf(ctx context.Context) uint64 {
	epoch, _ := ctx.Value(epochKey{}).(uint64)
	return epoch
}
