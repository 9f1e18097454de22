package head

import (
	"context"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
)

// Shrink makes the full chunks smaller that a replay has left as they were, so that a restart need
// not wait for it. It ends early with ctx.
func (h *Head) Shrink(ctx context.Context) {
	b := h.newBatch(&frame.Frame{})
	defer b.finish()
	for _, p := range *h.pages.Load() {
		if ctx.Err() != nil {
			return
		}
		if p != nil {
			b.shrink(p)
		}
	}
}

func (b *batch) shrink(p *page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.mu.large {
		return
	}
	p.mu.large = false
	p.replaceClosed(func(c closed) (chunk.Chunk, bool) {
		was := c.chunk()
		if was.Enc >= chunk.Decimal || was.Samples < chunk.MaxSamples || c.flushing() {
			return was, true
		}
		now := chunk.Shrink(was)
		b.figure(floorSlot(was.MinT, b.head.opts.SlotMillis)).bytes += int64(len(now.Data) - len(was.Data))
		return now, true
	})
}
