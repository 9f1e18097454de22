package chunk

import (
	"bytes"
	"math"
	"slices"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Interval is a stretch of time in milliseconds, both ends inclusive.
type Interval struct{ MinT, MaxT int64 }

// Decode appends the timestamps and values of a float chunk to the columns.
func Decode(dstT []int64, dstV []float64, c Chunk) ([]int64, []float64, error) {
	switch c.Enc {
	case XOR:
		var d xorDecoder
		return d.decode(dstT, dstV, c)
	case Decimal:
		return decodeDecimal(dstT, dstV, c)
	case XOR2:
		var cur cursor
		cur.open(c, math.MinInt64)
		return append(dstT, cur.times...), append(dstV, cur.values...), cur.err
	}
	return dstT, dstV, corruptf("encoding %v where floats are expected", c.Enc)
}

// JoinSorted merges two lists of chunks, each sorted by MinT, into one. It may return a or b
// itself when the other is empty.
func JoinSorted(a, b []Chunk) []Chunk {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	dst := make([]Chunk, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if b[0].MinT < a[0].MinT {
			dst, b = append(dst, b[0]), b[1:]
		} else {
			dst, a = append(dst, a[0]), a[1:]
		}
	}
	return append(append(dst, a...), b...)
}

// Compact appends chunks that hold the samples of the given ones, sorted by time and without
// overlap, to dst. Chunks that overlap no other are taken as they are; of copies of one chunk, one
// is; the others are merged as Iterator does and encoded anew.
func Compact(dst, chunks []Chunk) ([]Chunk, error) {
	if !slices.IsSortedFunc(chunks, byMinT) {
		chunks = slices.Clone(chunks)
		slices.SortStableFunc(chunks, byMinT)
	}
	for len(chunks) > 0 {
		n := overlapping(chunks)
		group := chunks[:n]
		chunks = chunks[n:]
		if allSame(group) {
			dst = append(dst, group[0])
			continue
		}
		var b Builder
		it := NewIterator(group)
		for it.Next() != chunkenc.ValNone {
			if err := b.Append(it.Sample()); err != nil {
				return dst, err
			}
		}
		if it.Err() != nil {
			return dst, it.Err()
		}
		dst = b.Close(dst)
	}
	return dst, nil
}

// overlapping is the number of chunks, sorted by MinT, at the front that hang together.
func overlapping(chunks []Chunk) int {
	end, n := chunks[0].MaxT, 1
	for n < len(chunks) && chunks[n].MinT <= end {
		end = max(end, chunks[n].MaxT)
		n++
	}
	return n
}

// allSame looks at the times, too: not every encoding has them in its data.
func allSame(chunks []Chunk) bool {
	a := chunks[0]
	for _, b := range chunks[1:] {
		if a.Enc != b.Enc || a.Samples != b.Samples || a.MinT != b.MinT || a.MaxT != b.MaxT ||
			!a.Times.equal(b.Times) || !bytes.Equal(a.Data, b.Data) {
			return false
		}
	}
	return true
}

// Without returns chunks without the samples that lie in the intervals. Only chunks that an
// interval cuts into are encoded anew; where nothing is to be removed it returns chunks itself.
func Without(chunks []Chunk, gone []Interval) ([]Chunk, error) {
	touched := func(c Chunk) bool {
		return slices.ContainsFunc(gone, func(g Interval) bool {
			return g.MinT <= c.MaxT && c.MinT <= g.MaxT
		})
	}
	first := slices.IndexFunc(chunks, touched)
	if first < 0 {
		return chunks, nil
	}
	kept := slices.Clone(chunks[:first])
	for _, c := range chunks[first:] {
		if !touched(c) {
			kept = append(kept, c)
			continue
		}
		if slices.ContainsFunc(gone, func(g Interval) bool {
			return g.MinT <= c.MinT && c.MaxT <= g.MaxT
		}) {
			continue
		}
		var err error
		if kept, err = appendWithout(kept, c, gone); err != nil {
			return kept, err
		}
	}
	if !slices.IsSortedFunc(kept, byMinT) { // A chunk that lost its front may now begin later.
		slices.SortStableFunc(kept, byMinT)
	}
	return kept, nil
}

func appendWithout(dst []Chunk, c Chunk, gone []Interval) ([]Chunk, error) {
	var b Builder
	it := NewIterator([]Chunk{c})
	for it.Next() != chunkenc.ValNone {
		t := it.AtT()
		if slices.ContainsFunc(gone, func(g Interval) bool { return g.MinT <= t && t <= g.MaxT }) {
			continue
		}
		if err := b.Append(it.Sample()); err != nil {
			return dst, err
		}
	}
	if it.Err() != nil {
		return dst, it.Err()
	}
	return b.Close(dst), nil
}
