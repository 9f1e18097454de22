package block

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cockroachdb/pebble/v2"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/index"
	"github.com/barograph-db/barograph/storage/series"
)

// Select returns the series that match, in the order of series.Compare, with their chunks that
// overlap the time range; series without such chunks are left out. With sel.SkipChunks no chunk is
// looked at, and the time range is taken to the part as a whole.
func (p *Part) Select(r pebble.Reader, sel series.Selector) ([]chunk.Series, error) {
	if !p.meta.overlaps(sel.Mint, sel.Maxt) {
		return nil, nil
	}
	p.cache.metrics.selects.Inc()
	s := selection{part: p, reader: r, sel: sel}
	err := s.run()
	if err != nil {
		return nil, err
	}
	return s.result, nil
}

// selection is a Select on its way. The steps go over ordinals, and so over keys, in order:
// matchers to ordinals, ordinals to labels, to chunks.
type selection struct {
	part   *Part
	reader pebble.Reader
	sel    series.Selector
	header *header

	// picks are the series still wanted, by ordinal.
	picks  []pick
	result []chunk.Series // in the order of picks until order was called
}

// pick is a series of a selection: its ordinal and its place in the result.
type pick struct{ ordinal, place uint32 }

func (s *selection) run() error {
	if err := s.match(); err != nil {
		return err
	}
	if err := s.readLabels(); err != nil || len(s.picks) == 0 {
		return err
	}
	s.order()
	if s.sel.SkipChunks {
		return nil
	}
	if err := s.readChunks(); err != nil {
		return err
	}
	s.closeGaps()
	return nil
}

func (s *selection) take(bytes int64) error {
	if s.sel.Take == nil {
		return nil
	}
	if err := s.sel.Take(bytes); err != nil {
		return fmt.Errorf("select from part %s: %w", s.part.meta.Part, err)
	}
	return nil
}

// limit is the most series wanted.
func (s *selection) limit() int {
	if s.sel.Limit > 0 {
		return min(s.sel.Limit, len(s.picks))
	}
	return len(s.picks)
}

// match evaluates the matchers and leaves the ordinals of the shards asked for.
func (s *selection) match() error {
	src, err := s.part.source(s.reader)
	if err != nil {
		return err
	}
	defer src.close()
	s.header = src.header
	guarded := index.Guard(src, func() error { return s.take(0) })
	matching, err := index.Select(guarded, s.sel.Matchers)
	if err != nil {
		return fmt.Errorf("select from part %s: %w", s.part.meta.Part, err)
	}
	if s.sel.Shards != nil {
		matching.And(s.header.within(s.sel.Shards))
	}
	n := int(matching.GetCardinality())
	if err := s.take(int64(n) * int64(unsafe.Sizeof(pick{}))); err != nil {
		return err
	}
	s.picks = make([]pick, 0, n)
	for ordinals := matching.Iterator(); ordinals.HasNext(); {
		s.picks = append(s.picks, pick{ordinal: ordinals.Next()})
	}
	return nil
}

// within returns the ordinals of all shards of the part that may have series of the set. The set
// may be of another number of shards than the part.
func (h *header) within(set *series.ShardSet) *roaring.Bitmap {
	b := roaring.New()
	for i, shard := range h.shards {
		first := lowest(shard, h.ShardBits)
		last := first | ^series.Fingerprint(0)>>h.ShardBits
		for n := int(first.Shard(set.Bits)); n <= int(last.Shard(set.Bits)); n++ {
			if set.Has(lowest(series.Shard(n), set.Bits)) {
				b.AddRange(uint64(h.starts[i]), uint64(h.starts[i+1]))
				break
			}
		}
	}
	return b
}

// lowest fingerprint of a shard.
func lowest(s series.Shard, bits uint8) series.Fingerprint {
	return series.Fingerprint(uint64(s) << (64 - bits)) // A shift by 64 gives 0.
}

// order puts the result in order and gives each pick its place there. Picks are in order by shard
// already, and a shard is a range of fingerprints, so each shard is sorted for itself. Two label sets
// may share a fingerprint.
func (s *selection) order() {
	type ranked struct {
		chunk.Series
		pick uint32
	}
	var shard []ranked
	for from := 0; from < len(s.picks); from += len(shard) {
		shard = shard[:0]
		of := s.result[from].Fingerprint.Shard(s.header.ShardBits)
		for i := from; i < len(s.picks) && s.result[i].Fingerprint.Shard(s.header.ShardBits) == of; i++ {
			shard = append(shard, ranked{s.result[i], uint32(i)})
		}
		slices.SortFunc(shard, func(a, b ranked) int {
			return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels)
		})
		for i, r := range shard {
			s.picks[r.pick].place = uint32(from + i)
			s.result[from+i] = r.Series
		}
	}
}

// closeGaps takes out of the result what is no longer picked.
func (s *selection) closeGaps() {
	if len(s.picks) == len(s.result) {
		return
	}
	picked := make([]bool, len(s.result))
	for _, p := range s.picks {
		picked[p.place] = true
	}
	n := 0
	for i := range s.result {
		if picked[i] {
			s.result[n] = s.result[i]
			n++
		}
	}
	s.result = s.result[:n]
}
