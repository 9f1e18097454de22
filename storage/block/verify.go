package block

import (
	"bytes"
	"cmp"
	"errors"
	"math"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/common/model"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// Verify reads all of the part and returns an error that says what does not fit together: rows
// that do not decode, series out of order or of another shard, postings that differ from the
// labels, chunks that do not hold the samples they say. Of hidden shards, the chunks are not looked at. It
// holds all postings and labels in memory.
func (p *Part) Verify(r pebble.Reader) error {
	h, err := p.header(r)
	if err != nil {
		return err
	}
	v := verifier{part: p, reader: r, header: h}
	if err := v.readPostings(); err != nil {
		return err
	}
	if err := v.readTimes(); err != nil {
		return err
	}
	return v.readSeries()
}

type verifier struct {
	part     *Part
	reader   pebble.Reader
	header   *header
	postings map[string]map[string]*roaring.Bitmap // by name and value

	labels, samples, chunkBytes uint64
	minT, maxT                  int64
}

func (v *verifier) fail(format string, args ...any) error {
	return v.part.readError("verify", decodeErrorf(format, args...))
}

func (v *verifier) readPostings() error {
	start, end := keys.SectionSpan(v.part.meta.Part, keys.Postings)
	it, err := v.part.scan(v.reader, start, end)
	if err != nil {
		return err
	}
	defer func() { _ = it.Close() }() // Its errors are in it.Error.
	v.postings = map[string]map[string]*roaring.Bitmap{}
	total := uint64(0)
	for ok := it.First(); ok; ok = it.Next() {
		k, err := keys.ParseIndex(it.Key())
		if err != nil {
			return v.fail("%v", err)
		}
		b, err := decodePostings(bytes.Clone(it.Value()), v.header.count())
		if err != nil {
			return v.part.readError("postings", err)
		}
		values := v.postings[string(k.Name)]
		if values == nil {
			values = map[string]*roaring.Bitmap{}
			v.postings[string(k.Name)] = values
		}
		values[string(k.Value)] = b
		total += b.GetCardinality()
	}
	if err := it.Error(); err != nil {
		return v.part.readError("postings", err)
	}
	if total != v.header.labels {
		return v.fail("postings of %d labels, not %d", total, v.header.labels)
	}
	return nil
}

// readTimes looks at every block of columns of timestamps; those that chunks use are unpacked with them.
func (v *verifier) readTimes() error {
	left := int(v.header.times)
	for n := uint32(0); left > 0; n++ {
		b, err := v.part.timesBlock(v.reader, n)
		if err != nil {
			return err
		}
		if len(b.columns) != min(left, timesPerBlock) {
			return v.fail("block %d of times has %d columns", n, len(b.columns))
		}
		left -= len(b.columns)
	}
	return nil
}

// readSeries walks all series. Each of a series' labels is in the postings; since there are as
// many postings as labels, no other is.
func (v *verifier) readSeries() error {
	n := v.header.count()
	rows, err := v.part.chunkRows(v.reader, v.header, 0, n-1)
	if err != nil {
		return err
	}
	defer rows.close()
	s := selection{part: v.part, reader: v.reader, header: v.header, picks: make([]pick, n)}
	for i := range s.picks {
		s.picks[i].ordinal = uint32(i)
	}
	if err := s.readLabels(); err != nil {
		return err
	}
	h, hidden := v.header, v.part.Hidden()
	times := newTimesReader(&s)
	v.minT, v.maxT = math.MaxInt64, math.MinInt64
	var chunks []chunk.Chunk
	for i := range s.picks {
		at := s.result[i]
		if i > 0 && compareOrder(h.ShardBits, s.result[i-1], at) >= 0 {
			return v.fail("series %d is not after the one before", i)
		}
		if err := v.checkLabels(uint32(i), at); err != nil {
			return err
		}
		if hidden != nil && hidden.Has(at.Fingerprint) {
			continue
		}
		row, err := rows.at(uint32(i))
		if err != nil {
			return err
		}
		if chunks, err = chunk.DecodeRow(chunks[:0], row, times.column); errors.Is(err, chunk.ErrCorrupt) {
			return v.fail("series %d: %v", i, err)
		} else if err != nil {
			return err
		}
		v.chunkBytes += uint64(len(row))
		if err := v.checkChunks(uint32(i), chunks); err != nil {
			return err
		}
	}
	if hidden != nil && v.labels == h.labels {
		return nil // The rest counts all shards.
	}
	if v.labels != h.labels || v.samples != uint64(h.Samples) || v.chunkBytes != uint64(h.ChunkBytes) ||
		v.minT != h.MinT || v.maxT != h.MaxT {
		return v.fail("header says %d labels, %d samples, %d bytes, [%d, %d]; there are %d, %d, %d, [%d, %d]",
			h.labels, h.Samples, h.ChunkBytes, h.MinT, h.MaxT, v.labels, v.samples, v.chunkBytes, v.minT, v.maxT)
	}
	return nil
}

func (v *verifier) checkLabels(ordinal uint32, s chunk.Series) error {
	if err := s.Labels.Validate(); err != nil {
		return v.fail("series %d: %v", ordinal, err)
	}
	for name, value := range s.Labels.All() {
		b := v.postings[string(name)][string(value)]
		if b == nil || !b.Contains(ordinal) {
			return v.fail("series %d is not in the postings of %s", ordinal, clip(string(name)))
		}
		v.labels++
	}
	return nil
}

func (v *verifier) checkChunks(ordinal uint32, chunks []chunk.Chunk) error {
	for i := range chunks {
		c := chunks[i]
		n := 0
		minT, maxT := int64(math.MaxInt64), int64(math.MinInt64)
		it := chunk.NewIterator(chunks[i : i+1])
		for typ := it.Next(); typ != 0; typ = it.Next() {
			minT, maxT = min(minT, it.AtT()), max(maxT, it.AtT())
			n++
		}
		if err := it.Err(); err != nil {
			return v.fail("series %d: chunk %d: %v", ordinal, i, err)
		}
		if n != c.Samples || minT != c.MinT || maxT != c.MaxT {
			return v.fail("series %d: chunk %d says %d samples in [%d, %d] and has %d in [%d, %d]",
				ordinal, i, c.Samples, c.MinT, c.MaxT, n, minT, maxT)
		}
		v.samples += uint64(n)
		v.minT, v.maxT = min(v.minT, minT), max(v.maxT, maxT)
	}
	return nil
}

// compareOrder orders series as a part numbers them.
func compareOrder(bits uint8, a, b chunk.Series) int {
	return cmp.Or(
		cmp.Compare(a.Fingerprint.Shard(bits), b.Fingerprint.Shard(bits)),
		bytes.Compare(a.Labels.Get(model.MetricNameLabel), b.Labels.Get(model.MetricNameLabel)),
		series.CompareBytes(a.Labels, b.Labels),
	)
}
