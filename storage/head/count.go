package head

import (
	"github.com/RoaringBitmap/roaring/v2"

	"github.com/barograph-db/barograph/storage/cardinality"
	"github.com/barograph-db/barograph/storage/series"
)

// Count counts what the series of some shards have, for a ranking of so many; nil is all shards. Times are
// those of the whole head.
func (h *Head) Count(shards *series.ShardSet, ranking int, take func(int64) error) (*cardinality.Counts, error) {
	if take == nil {
		take = func(int64) error { return nil }
	}
	var only *roaring.Bitmap
	chunks := h.metrics.closed.Load()
	if shards != nil {
		var err error
		if only, chunks, err = h.within(shards, take); err != nil {
			return nil, err
		}
	}
	c, err := h.index.Count(only, cardinality.Of(ranking), take)
	if err != nil {
		return nil, err
	}
	c.Chunks = uint64(max(chunks, 0))
	c.MinTime, c.MaxTime = h.OldestSample(), h.maxTime.Load()
	return c, nil
}

// within returns the series of the shards, and how many closed chunks they have.
func (h *Head) within(shards *series.ShardSet, take func(int64) error) (*roaring.Bitmap, int64, error) {
	only, chunks := roaring.New(), int64(0)
	var ids []uint32
	for number, p := range *h.pages.Load() {
		const idBytes = 2 // in a bitmap that is not too thin
		if err := take(idBytes * pageSeries); err != nil {
			return nil, 0, err
		}
		ids = ids[:0]
		p.mu.Lock()
		for j := range uint32(pageSeries) {
			if p.mu.cells[j].gen == 0 || !shards.Has(p.mu.state[j].fp) {
				continue
			}
			ids = append(ids, uint32(number*pageSeries)+j)
			for range p.closed(j) {
				chunks++
			}
		}
		p.mu.Unlock()
		only.AddMany(ids)
	}
	return only, chunks, nil
}
