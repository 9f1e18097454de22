package head

import (
	"encoding/binary"
	"slices"

	"github.com/barograph-db/barograph/storage/chunk"
)

// slabs hold the closed chunks of a page one behind the other, so that a chunk costs 24 bytes beside
// its data, nothing is lost to the sizes of an allocator, and the garbage collector has nothing to
// look at. A chunk is its data and then:
//
//	start i64 | length of data u32 | time from start to last sample u32 | samples u16
//	| encoding u8 | flushing u8 | place of the series' chunk before it u32
//
// Readers are given views of data, so that bytes that were written stay as they are until nobody
// refers to their slab: chunks that are dropped leave dead bytes, and now and then those that live
// are copied to new slabs. A chunk larger than a slab has one of its own.
type slabs struct {
	list [][]byte
	live int // bytes, with what is behind the data
	dead int
}

const (
	slabBits  = 12
	slabBytes = 1 << slabBits
	maxSlabs  = 1 << (32 - slabBits)
	tailBytes = 24
)

// A place is where in the slabs a chunk ends: the slab's number above the offset of the last byte,
// and one more, so that zero is no chunk.
type place uint32

// put adds a copy of a chunk that follows on another of its series, or on none.
func (s *slabs) put(before place, c chunk.Chunk) place {
	size := len(c.Data) + tailBytes
	if n := len(s.list); n == 0 || cap(s.list[n-1])-len(s.list[n-1]) < size {
		if n == maxSlabs-1 {
			panic("head: closed chunks of a page exceed 4 GiB")
		}
		s.list = append(s.list, make([]byte, 0, max(slabBytes, size)))
	}
	last := len(s.list) - 1
	b := append(s.list[last], c.Data...)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.MinT))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Data)))
	b = binary.LittleEndian.AppendUint32(b, uint32(c.MaxT-c.MinT)) // A slot fits in it.
	b = binary.LittleEndian.AppendUint16(b, uint16(c.Samples))
	b = append(b, byte(c.Enc), 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(before))
	s.list[last] = b
	s.live += size
	return place(last<<slabBits|(len(b)-1)%slabBytes) + 1
}

// closed is a chunk in its slab.
type closed struct {
	bytes []byte // to the end of the chunk
	tail  []byte
}

func (s *slabs) at(p place) closed {
	b := s.list[(p-1)>>slabBits]
	if len(b) <= slabBytes {
		b = b[:(p-1)%slabBytes+1]
	}
	return closed{b, b[len(b)-tailBytes:]}
}

func (c closed) minT() int64 { return int64(binary.LittleEndian.Uint64(c.tail)) }

func (c closed) maxT() int64 { return c.minT() + int64(binary.LittleEndian.Uint32(c.tail[12:])) }

func (c closed) overlaps(mint, maxt int64) bool { return c.minT() <= maxt && c.maxT() >= mint }

func (c closed) size() int { return int(binary.LittleEndian.Uint32(c.tail[8:])) }

func (c closed) flushing() bool { return c.tail[19] != 0 }

func (c closed) setFlushing(flushing bool) {
	c.tail[19] = 0
	if flushing {
		c.tail[19] = 1
	}
}

func (c closed) before() place { return place(binary.LittleEndian.Uint32(c.tail[20:])) }

// chunk views the slab.
func (c closed) chunk() chunk.Chunk {
	end := len(c.bytes) - tailBytes
	return chunk.Chunk{
		Enc: chunk.Encoding(c.tail[18]), Samples: int(binary.LittleEndian.Uint16(c.tail[16:])),
		MinT: c.minT(), MaxT: c.maxT(), Data: c.bytes[end-c.size() : end : end],
	}
}

// closed yields the series' closed chunks, the newest first, except that late ones come as they did.
func (p *page) closed(j uint32) func(yield func(closed) bool) {
	return func(yield func(closed) bool) {
		for at := p.mu.state[j].closed; at != 0; {
			c := p.mu.slabs.at(at)
			if !yield(c) {
				return
			}
			at = c.before()
		}
	}
}

// addClosed adds a copy of a chunk to the series.
func (p *page) addClosed(j uint32, c chunk.Chunk) {
	st := &p.mu.state[j]
	st.closed = p.mu.slabs.put(st.closed, c)
}

// takeClosed takes all closed chunks from the series, the oldest first.
func (p *page) takeClosed(j uint32) (all []closed) {
	for c := range p.closed(j) {
		all = append(all, c)
		p.mu.slabs.kill(c)
	}
	p.mu.state[j].closed = 0
	slices.Reverse(all)
	return all
}

// dropNewest takes the series' newest closed chunk out.
func (p *page) dropNewest(j uint32) {
	st := &p.mu.state[j]
	c := p.mu.slabs.at(st.closed)
	p.mu.slabs.kill(c)
	st.closed = c.before()
}

func (s *slabs) kill(c closed) {
	size := c.size() + tailBytes
	s.live -= size
	s.dead += size
}

// keepClosed copies the chunks that keep names to new slabs and lets the others go.
func (p *page) keepClosed(keep func(closed) bool) {
	p.replaceClosed(func(c closed) (chunk.Chunk, bool) { return c.chunk(), keep(c) })
}

// replaceClosed copies what is to stand for each chunk to new slabs, or lets it go.
func (p *page) replaceClosed(by func(closed) (c chunk.Chunk, keep bool)) {
	old := p.mu.slabs
	p.mu.slabs = slabs{}
	var all []closed
	for j := range p.mu.state {
		all = all[:0]
		for at := p.mu.state[j].closed; at != 0; {
			c := old.at(at)
			all = append(all, c)
			at = c.before()
		}
		p.mu.state[j].closed = 0
		for _, c := range slices.Backward(all) {
			if now, keep := by(c); keep {
				p.addClosed(uint32(j), now)
				p.mu.slabs.at(p.mu.state[j].closed).setFlushing(c.flushing())
			}
		}
	}
}

// tidy gets rid of dead bytes when there are more of them than of others.
func (p *page) tidy() {
	if s := &p.mu.slabs; s.dead > s.live+8*slabBytes {
		p.keepClosed(func(closed) bool { return true })
	}
}
