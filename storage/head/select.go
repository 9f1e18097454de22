package head

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/index"
	"github.com/barograph-db/barograph/storage/series"
)

// Select returns the series that match and have samples in the time range, sorted by
// series.Compare, with their chunks that overlap it; those being flushed are among them. The
// result is a snapshot: closed chunks are shared, open ones copied.
//
// Series are read page by page: first what they will take is measured and asked for, then it is
// copied, each under the page's lock.
func (h *Head) Select(sel series.Selector) ([]chunk.Series, error) {
	generation := h.generation.Load() // What is created later in the place of a match, is none.
	ids, err := index.Select(h.matching(sel.Take), sel.Matchers)
	if err != nil {
		return nil, err
	}
	g := gather{head: h, sel: sel, generation: generation}
	buf := make([]uint32, min(4*pageSeries, ids.GetCardinality()))
	var ahead []uint32
	for it := ids.ManyIterator(); ; {
		if len(ahead) == 0 {
			if ahead = buf[:it.NextMany(buf)]; len(ahead) == 0 {
				break
			}
		}
		number := ahead[0] / pageSeries
		n := 1
		for n < len(ahead) && ahead[n]/pageSeries == number {
			n++
		}
		if p := h.page(ahead[0]); p != nil {
			if err := g.page(p, ahead[:n]); err != nil {
				return nil, err
			}
		}
		if sel.Limit > 0 && len(g.found) >= sel.Limit {
			g.found = g.found[:sel.Limit]
			break
		}
		ahead = ahead[n:]
	}
	return sorted(g.found), nil
}

// sorted sorts found by series.Compare. Fingerprints are spread evenly, so that their highest bits
// put each series into a bucket of a few, and these are sorted.
func sorted(found []chunk.Series) []chunk.Series {
	const perBucket = 4
	shift := 64 - bits.Len(uint(len(found)/perBucket))
	from := make([]uint32, 1<<(64-shift)+1)
	for _, s := range found {
		from[s.Fingerprint>>shift+1]++
	}
	for i := range from[1:] {
		from[i+1] += from[i]
	}
	next := slices.Clone(from)
	out := make([]chunk.Series, len(found))
	for _, s := range found {
		at := &next[s.Fingerprint>>shift]
		out[*at] = s
		*at++
	}
	for i, n := range from[1:] {
		slices.SortFunc(out[from[i]:n], func(a, b chunk.Series) int {
			return series.Compare(a.Fingerprint, a.Labels, b.Fingerprint, b.Labels)
		})
	}
	return out
}

// gather collects series.
type gather struct {
	head       *Head
	sel        series.Selector
	generation uint32
	found      []chunk.Series
	arena      []byte // for labels and open chunks
	untaken    int    // bytes of arenas that were not asked for yet
	builder    chunk.Builder
}

// seriesBytes is what a selected series takes beside its labels and chunks: the struct, and once
// more where they are sorted.
const seriesBytes = 2 * 56

const chunkBytes = 56

func (g *gather) page(p *page, ids []uint32) error {
	if err := g.take(0); err != nil {
		return err
	}
	size, chunks, some := g.measure(p, ids)
	if !some {
		return nil
	}
	if err := g.take(size); err != nil {
		return err
	}
	slab := make([]chunk.Chunk, 0, chunks)
	labels := g.head.index.Read()
	defer labels.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		j := id % pageSeries
		if !g.wanted(p, j) {
			continue
		}
		s := chunk.Series{Fingerprint: p.mu.state[j].fp}
		from := len(slab)
		if !g.sel.SkipChunks {
			slab = g.appendChunks(slab, p, j)
			s.Chunks = slab[from:len(slab):len(slab)]
		}
		g.room(512)
		from = len(g.arena)
		room := cap(g.arena)
		g.arena = labels.AppendLabels(g.arena, id)
		g.untaken += cap(g.arena) - room
		s.Labels = g.arena[from:len(g.arena):len(g.arena)]
		g.found = append(g.found, s)
		if err := g.takeArena(); err != nil {
			return err
		}
	}
	return nil
}

func (g *gather) take(bytes int64) error {
	if g.sel.Take == nil {
		return nil
	}
	return g.sel.Take(bytes)
}

// takeArena asks for what the arena grew by, which is little at a time.
func (g *gather) takeArena() error {
	if g.untaken == 0 {
		return nil
	}
	n := g.untaken
	g.untaken = 0
	return g.take(int64(n))
}

// wanted reports whether the series is alive and has samples in the time range.
func (g *gather) wanted(p *page, j uint32) bool {
	st := &p.mu.state[j]
	if gen := p.mu.cells[j].gen; gen == 0 || gen > g.generation || !g.sel.Shards.Has(st.fp) {
		return false
	}
	mint, maxt := g.sel.Mint, g.sel.Maxt
	if from, to, ok := p.openRange(j); ok && from <= maxt && to >= mint {
		return true
	}
	for c := range p.closed(j) {
		if c.overlaps(mint, maxt) {
			return true
		}
	}
	late := st.late()
	return len(late) > 0 && late[0].T <= maxt && late[len(late)-1].T >= mint
}

// measure tells what copying these series will take.
func (g *gather) measure(p *page, ids []uint32) (size int64, chunks int, some bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		j := id % pageSeries
		if !g.wanted(p, j) {
			continue
		}
		some = true
		size += seriesBytes
		if g.sel.SkipChunks {
			continue
		}
		st := &p.mu.state[j]
		for c := range p.closed(j) {
			if c.overlaps(g.sel.Mint, g.sel.Maxt) {
				chunks++
				size += chunkBytes + int64(c.size())
			}
		}
		if p.mu.cells[j].open.Size() > 0 {
			chunks++
			size += chunkBytes
		}
		if builder := st.builder(); builder != nil {
			chunks++
			size += chunkBytes + int64(builder.Allocated())
		}
		if n := len(st.late()); n > 0 {
			chunks++
			size += chunkBytes + int64(n)*lateBytes
		}
	}
	return size, chunks, some
}

// appendChunks appends the chunks of a series that overlap the time range, by their start.
func (g *gather) appendChunks(dst []chunk.Chunk, p *page, j uint32) []chunk.Chunk {
	mint, maxt := g.sel.Mint, g.sel.Maxt
	st := &p.mu.state[j]
	from := len(dst)
	if first, last, ok := p.openRange(j); ok && first <= maxt && last >= mint {
		g.room(p.mu.cells[j].open.Size())
		var c chunk.Chunk
		c, g.arena = p.snapshot(j, g.arena)
		dst = append(dst, c)
	}
	for c := range p.closed(j) {
		if c.overlaps(mint, maxt) {
			dst = append(dst, c.chunk())
		}
	}
	if late := st.late(); len(late) > 0 && late[0].T <= maxt && late[len(late)-1].T >= mint {
		dst = g.appendLate(dst, late)
	}
	sortByMinT(dst[from:])
	return dst
}

// sortByMinT sorts chunks that came as a series lists them: the newest first, nearly always.
func sortByMinT(chunks []chunk.Chunk) {
	slices.Reverse(chunks)
	byMinT := func(a, b chunk.Chunk) int { return cmp.Compare(a.MinT, b.MinT) }
	if !slices.IsSortedFunc(chunks, byMinT) {
		slices.SortStableFunc(chunks, byMinT)
	}
}

// appendLate appends chunks of late samples, each within one slot.
func (g *gather) appendLate(dst []chunk.Chunk, late []series.Sample) []chunk.Chunk {
	slot := g.head.opts.SlotMillis
	for i, s := range late {
		if i > 0 && floorSlot(late[i-1].T, slot) != floorSlot(s.T, slot) {
			dst = g.builder.Close(dst)
		}
		if err := g.builder.Append(s); err != nil {
			panic(err) // It was appended before, when it came.
		}
	}
	return g.builder.Close(dst)
}

// arenaBytes is the size of the pieces that labels and open chunks are copied to.
const arenaBytes = 32 << 10

// room makes sure that the arena has room for n bytes where it is.
func (g *gather) room(n int) {
	if cap(g.arena)-len(g.arena) < n {
		g.arena = make([]byte, 0, max(n, min(arenaBytes, 1024*(len(g.found)+1))))
		g.untaken += cap(g.arena)
	}
}
