package chunk

import (
	"sync"
)

// encoder has the memory that encoding takes.
type encoder struct {
	times packer // Also of other integers.
	// The last times that were not regular, and what became of them: series of a target follow each
	// other and have the same.
	lastTimes  []int64
	lastColumn []byte
	lastForm   uint8
	by         [2]scaled // Two ways to scale, to compare.
	split      split
	ts         []int64 // What Recode gathers.
	vs         []float64
	buf        []byte
	histograms
}

var encoders = sync.Pool{New: func() any { return &encoder{} }}

// plain reports whether the chunk's samples are floats without start timestamps.
func (c Chunk) plain() bool { return c.Enc == XOR || c.Enc == Decimal }

// Recode appends chunks with the same samples to dst: runs of floats without start timestamps as
// one chunk, or one for each MaxDecimalSamples, in the smallest encoding, runs of histograms of one
// kind likewise, and others as they are. Chunks are sorted by time and do not overlap, as Compact
// leaves them.
func Recode(dst, chunks []Chunk) ([]Chunk, error) {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	for len(chunks) > 0 {
		var err error
		n := alike(chunks)
		_, histograms := chunks[0].kind()
		switch {
		case histograms:
			dst, err = e.packHistograms(dst, chunks[:n])
		case !chunks[0].plain() || n == 1 && chunks[0].Enc == Decimal:
			dst = append(dst, chunks[:n]...)
		default:
			dst, err = e.recode(dst, chunks[:n])
		}
		if err != nil {
			return dst, err
		}
		chunks = chunks[n:]
	}
	return dst, nil
}

// alike is the number of chunks at the front that may be joined.
func alike(chunks []Chunk) int {
	plain := chunks[0].plain()
	kind, histograms := chunks[0].kind()
	n := 1
	for ; n < len(chunks); n++ {
		k, ok := chunks[n].kind()
		if chunks[n].plain() != plain || k != kind || ok != histograms {
			break
		}
	}
	return n
}

func (e *encoder) recode(dst, chunks []Chunk) ([]Chunk, error) {
	ts, vs := e.ts[:0], e.vs[:0]
	for _, c := range chunks {
		if n := len(ts); n > 0 && c.MinT <= ts[n-1] {
			return dst, corruptf("chunk begins at %d, before the end of another at %d", c.MinT, ts[n-1])
		}
		var err error
		if ts, vs, err = Decode(ts, vs, c); err != nil {
			return dst, err
		}
	}
	if cap(ts) <= 4*MaxDecimalSamples { // Rarely more; that is not kept.
		e.ts, e.vs = ts, vs
	}
	for len(ts) > 0 {
		n := min(len(ts), MaxDecimalSamples)
		var c Chunk
		c, e.buf = e.encode(e.buf[:0], ts[:n], vs[:n])
		c.Data = append(make([]byte, 0, len(c.Data)), c.Data...)
		dst = append(dst, c)
		ts, vs = ts[n:], vs[n:]
	}
	return dst, nil
}

// Shrink returns a full chunk in a smaller encoding, or itself if there is none.
func Shrink(c Chunk) Chunk {
	var one [1]Chunk
	small, err := Recode(one[:0], []Chunk{c})
	if err != nil || len(small) != 1 || len(small[0].Data) >= len(c.Data) {
		return c
	}
	return small[0]
}

// ToLibrary returns the samples of a chunk whose encoding is our own in chunks of at most
// MaxSamples, which tsdb/chunkenc can read, and any other chunk itself. Histograms come back in the
// chunks that they were packed from.
func ToLibrary(c Chunk) ([]Chunk, error) {
	switch c.Enc {
	case Packed:
		return unpackHistograms(c)
	case Decimal:
		return toXOR(c)
	}
	return []Chunk{c}, nil
}

func toXOR(c Chunk) ([]Chunk, error) {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	ts, vs, err := Decode(e.ts[:0], e.vs[:0], c)
	if err != nil {
		return nil, err
	}
	e.ts, e.vs = ts, vs
	chunks := make([]Chunk, 0, (len(ts)+MaxSamples-1)/MaxSamples)
	var a XORAppender
	for i, t := range ts {
		if a.Len() == MaxSamples {
			chunks = append(chunks, a.Close())
		}
		a.Append(t, vs[i])
	}
	return append(chunks, a.Close()), nil
}
