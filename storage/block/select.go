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
// matchers to ordinals, ordinals to fingerprints, to chunks, to labels; the result is sorted last.
type selection struct {
	part   *Part
	reader pebble.Reader
	sel    series.Selector
	header *header

	ordinals []uint32
	// result has the series of ordinals, one for each.
	result []chunk.Series
}

func (s *selection) run() error {
	if err := s.match(); err != nil {
		return err
	}
	if len(s.ordinals) == 0 {
		return nil
	}
	if err := s.take(int64(len(s.ordinals)) * int64(unsafe.Sizeof(chunk.Series{})+4)); err != nil {
		return err
	}
	s.result = make([]chunk.Series, len(s.ordinals))
	if err := s.readFingerprints(); err != nil {
		return err
	}
	if !s.sel.SkipChunks && len(s.ordinals) > 0 {
		if err := s.readChunks(); err != nil {
			return err
		}
	}
	s.truncate(s.limit())
	if err := s.readLabels(); err != nil {
		return err
	}
	s.sort()
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
		return min(s.sel.Limit, len(s.ordinals))
	}
	return len(s.ordinals)
}

func (s *selection) truncate(n int) {
	s.ordinals, s.result = s.ordinals[:n], s.result[:n]
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
	if err := s.take(4 * int64(matching.GetCardinality())); err != nil {
		return err
	}
	s.ordinals = matching.ToArray()
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

// sort orders the result. It is in order by shard already, and a shard is a range of fingerprints.
func (s *selection) sort() {
	bits := s.header.ShardBits
	for rest := s.result; len(rest) > 0; {
		shard := rest[0].Fingerprint.Shard(bits)
		n := 1
		for n < len(rest) && rest[n].Fingerprint.Shard(bits) == shard {
			n++
		}
		slices.SortFunc(rest[:n], func(a, b chunk.Series) int {
			return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels)
		})
		rest = rest[n:]
	}
}
