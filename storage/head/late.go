package head

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	// maxLate is the number of late samples of a series that are kept before they become a chunk.
	maxLate = 32
	// lateBytes is what one of them costs.
	lateBytes = 40
	// Of a series' closed chunks the newest ones are searched for a copy of a late sample: so many
	// are looked at, and of those so many samples are decoded, per sample or per buffer.
	lookedAt      = 256
	decodedSample = 2 * chunk.MaxSamples
	decodedBuffer = 16 * chunk.MaxSamples
)

// late takes a sample that is not later than its series' last one.
func (b *batch) late(p *page, j uint32, s series.Sample) frame.Reason {
	if s.T < b.oldest {
		return frame.TooOld
	}
	a, st := &p.mu.cells[j].open, &p.mu.state[j]
	if plain(s) && a.Len() > 0 && s.T == a.LastT() { // Most of them: a request was sent again.
		if math.Float64bits(s.V) == math.Float64bits(a.LastV()) {
			b.tally.duplicates++
			return 0
		}
		if series.Better(a.LastV(), s.V) {
			b.tally.conflicts++
			return 0
		}
	}
	if !plain(s) {
		// Whether a histogram contradicts itself shows when it is encoded, and then is too late.
		if err := b.builder.Append(s); err != nil {
			return frame.BadSample
		}
		b.chunks = b.builder.Close(b.chunks[:0])
	}
	if len(st.late()) == 0 && b.known(p, j, s) {
		return 0
	}
	sd := st.needSide()
	at, found := slices.BinarySearchFunc(sd.late, s.T, func(x series.Sample, t int64) int {
		switch {
		case x.T < t:
			return -1
		case x.T > t:
			return 1
		}
		return 0
	})
	if found {
		switch c := series.CompareValues(s, sd.late[at]); {
		case c == 0:
			b.tally.duplicates++
			return 0
		case c > 0:
			sd.late[at] = owned(s)
			b.changed(s.T)
		}
		b.tally.conflicts++
		return 0
	}
	sd.late = slices.Insert(sd.late, at, owned(s))
	b.changed(s.T)
	b.here.samples++
	b.here.bytes += lateBytes
	b.here.minT = min(b.here.minT, s.T)
	b.tally.count(s)
	b.tally.late++
	if len(sd.late) >= maxLate {
		b.spill(p, j, len(sd.late))
	}
	return 0
}

// changed notes that a late sample changes what a selection gives.
func (b *batch) changed(t int64) {
	b.inserted.Mint, b.inserted.Maxt = min(b.inserted.Mint, t), max(b.inserted.Maxt, t)
}

// owned is the sample with histograms of its own.
func owned(s series.Sample) series.Sample {
	switch {
	case s.H != nil:
		s.H = s.H.Copy()
	case s.FH != nil:
		s.FH = s.FH.Copy()
	}
	return s
}

// known drops a sample that a chunk has, or has a better one for.
func (b *batch) known(p *page, j uint32, s series.Sample) bool {
	b.drop = append(b.drop[:0], false)
	b.search(p, j, []series.Sample{s}, decodedSample)
	return b.drop[0]
}

// search looks for late samples in the series' chunks, of which it decodes so many samples, and marks those
// to drop: a chunk has the same or a better one.
func (b *batch) search(p *page, j uint32, late []series.Sample, decoded int) {
	mint, maxt := late[0].T, late[len(late)-1].T
	if from, to, ok := p.openRange(j); ok && from <= maxt && to >= mint {
		var c chunk.Chunk
		c, b.bytes = p.snapshot(j, b.bytes[:0])
		b.searchChunk(c, late)
		decoded -= c.Samples
	}
	left := lookedAt
	for c := range p.closed(j) {
		if left == 0 || decoded <= 0 {
			break
		}
		left--
		if c.overlaps(mint, maxt) {
			b.searchChunk(c.chunk(), late)
			decoded -= c.chunk().Samples
		}
	}
}

func (b *batch) searchChunk(c chunk.Chunk, late []series.Sample) {
	b.one[0] = c
	b.it.Reset(b.one[:])
	for i, s := range late {
		if b.it.Seek(s.T) == chunkenc.ValNone {
			return
		}
		if b.drop[i] || b.it.AtT() != s.T {
			continue
		}
		switch order := series.CompareValues(b.it.Sample(), s); {
		case order == 0:
			b.drop[i] = true
			b.tally.duplicates++
		case order > 0:
			b.drop[i] = true
			b.tally.conflicts++
		}
	}
}

// spill turns the first n late samples of a series into closed chunks, without those that other
// chunks have.
func (b *batch) spill(p *page, j uint32, n int) {
	st := &p.mu.state[j]
	sd := st.side
	late := sd.late[:n]
	b.drop = slices.Grow(b.drop[:0], n)[:n]
	clear(b.drop)
	b.search(p, j, late, decodedBuffer)
	slot := b.head.opts.SlotMillis
	for from := 0; from < n; {
		start := floorSlot(late[from].T, slot)
		to, kept := from, late[from:from]
		for ; to < n && floorSlot(late[to].T, slot) == start; to++ {
			if !b.drop[to] {
				kept = append(kept, late[to])
			}
		}
		f := b.figure(start)
		f.samples -= int64(to - from - len(kept))
		f.bytes -= int64(to-from) * lateBytes
		b.encode(p, j, kept, start)
		from = to
	}
	rest := copy(sd.late, sd.late[n:])
	clear(sd.late[rest:])
	sd.late = sd.late[:rest]
	p.tidy()
}

// encode makes closed chunks of samples of one slot. Where they follow on the series' newest
// closed chunk and there is room in it, they go on in that, so that backfill in order does not end
// in chunks of maxLate samples.
func (b *batch) encode(p *page, j uint32, samples []series.Sample, start int64) {
	if len(samples) == 0 {
		return
	}
	for newest := range p.closed(j) {
		c := newest.chunk()
		if !newest.flushing() && plain(samples[0]) && c.Enc == chunk.XOR &&
			c.Samples+len(samples) <= chunk.MaxSamples &&
			c.MinT >= start && c.MaxT < samples[0].T && b.builder.Resume(c) == nil {
			p.dropNewest(j)
			b.figure(start).bytes -= int64(len(c.Data))
			b.tally.closed--
		}
		break
	}
	for _, s := range samples {
		if err := b.builder.Append(s); err != nil {
			panic(err) // It was appended before, when it came.
		}
	}
	b.chunks = b.builder.Close(b.chunks[:0])
	for _, c := range b.chunks {
		b.push(p, j, c)
	}
}
