package leaf

import (
	"context"
	"time"

	"github.com/barograph-db/barograph/storage/chunk"
)

// Reading is what a node did for one answer.
type Reading struct {
	// Series is how many were read; Samples and Bytes are of their chunks, some of which may reach
	// beyond the times that were asked for.
	Series, Samples, Bytes int64
	// Waited is for its turn. Worked is reading and computing, of all workers together: not what it
	// waited for who asked.
	Waited, Worked time.Duration
	// Received is how many bytes came over the network; a node does not say so of itself.
	Received int64
	// Whole says that this is of an answer that came to its end.
	Whole bool
}

func (r *Reading) add(s chunk.Series) {
	r.Series++
	for i := range s.Chunks {
		r.Samples += int64(s.Chunks[i].Samples)
		r.Bytes += int64(len(s.Chunks[i].Data))
	}
}

type observerKey struct{}

// Observe returns a context for one question to a node: see is told what the node did for it, once at
// most, when that is known. A Leaf tells what it did for series and partial results.
func Observe(ctx context.Context, see func(Reading)) context.Context {
	return context.WithValue(ctx, observerKey{}, see)
}

// ObserverOf returns what a Node is to tell what it did; nil if nobody asks.
func ObserverOf(ctx context.Context) func(Reading) {
	see, _ := ctx.Value(observerKey{}).(func(Reading))
	return see
}
