package frame

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	version = 2

	flagZstd = 1 << 0 // the rest is compressed
	flagLog  = 1 << 1 // the frame builds on those before it

	header    = 2
	logHeader = header + 8

	// minCompress is the size of the rest from which compression is tried.
	minCompress = 64
	// maxScratch bounds the memory that is kept for the next frame, per column.
	maxScratch = 4 << 20
	// window is how far back compression looks; who decompresses has at least as much memory.
	window = 1 << 20
)

// compressor is for the rest of a frame: labels of new series, histograms, metadata.
var compressor = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // Only over options.
	}
	return e
})

// work is scratch space for one frame.
type work struct {
	columns columns
	shape   []byte
	rest    []byte
	packed  []byte
	out     []byte
}

var works = sync.Pool{New: func() any { return &work{} }}

func (w *work) release() {
	if cap(w.rest) <= maxScratch && cap(w.columns.order) <= maxScratch/16 {
		works.Put(w)
	}
}

// prepare does what needs no state.
func (w *work) prepare(f *Frame) (flags byte) {
	w.shape = w.columns.appendShape(w.shape[:0], f)
	w.rest = appendRest(w.rest[:0], f)
	w.packed = w.rest
	if len(w.rest) >= minCompress {
		if packed := compressor().EncodeAll(w.rest, w.out[:0]); len(packed) < len(w.rest) {
			w.out, w.packed = packed, packed
			return flagZstd
		}
	}
	return 0
}

// AppendEncode appends the bytes of a frame that stands by itself to dst. It has at most MaxSamples
// float samples.
func AppendEncode(dst []byte, f *Frame) []byte {
	w := works.Get().(*work)
	defer w.release()
	w.columns.plain = false
	flags := w.prepare(f)
	dst = append(append(dst, version, flags), w.shape...)
	dst, _ = w.columns.appendValues(dst, f, &bases{})
	return append(dst, w.packed...)
}

// Encoder writes the frames of a log, each relative to those before. Its methods may be called
// concurrently.
type Encoder struct {
	plain bool

	mu struct {
		sync.Mutex
		base    bases
		epoch   uint32
		written int // bytes in this epoch
		record  []byte
	}
}

// NewEncoder returns an encoder that knows nothing.
func NewEncoder() *Encoder {
	e := &Encoder{}
	e.mu.base.keep = true
	e.forgetLocked()
	return e
}

// NewPlainEncoder returns one that spends bytes to save time: no column has a code, neither for who encodes
// nor for who decodes.
func NewPlainEncoder() *Encoder {
	e := NewEncoder()
	e.plain = true
	return e
}

// An epoch ends after so many bytes for each series that it met, within bounds. What a frame needs
// of those before it reaches back to the epoch's begin at most: this is what damage to one frame
// can cost. A new one costs two or three bytes a series.
const (
	epochBytes = 64
	minEpoch   = 1 << 20
	maxEpoch   = 64 << 20
)

// Forget makes the next frame one that needs none before it.
func (e *Encoder) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forgetLocked()
}

// forgetLocked begins an epoch. Its number is random, so that those of a process that ended, some
// of which may be unreadable, are not taken for it.
func (e *Encoder) forgetLocked() {
	e.mu.base.forget()
	e.mu.epoch, e.mu.written = rand.Uint32(), 0
}

// Encode encodes f and hands the bytes to write, one frame after the other, so that the order of
// the log is that of the encoder. write may not keep them; its error is returned, and then nothing
// builds on f. ErrTooLarge says that f has more than MaxSamples float samples.
func (e *Encoder) Encode(f *Frame, write func(record []byte) error) error {
	if len(f.Refs) > MaxSamples {
		return fmt.Errorf("%w: %d samples, the limit is %d", ErrTooLarge, len(f.Refs), MaxSamples)
	}
	w := works.Get().(*work)
	defer w.release()
	w.columns.plain = e.plain
	flags := w.prepare(f) | flagLog

	e.mu.Lock()
	defer e.mu.Unlock()
	if limit := epochBytes * basePage * e.mu.base.used; e.mu.written > min(max(limit, minEpoch), maxEpoch) {
		e.forgetLocked()
	}
	b := append(e.mu.record[:0], version, flags)
	b = binary.LittleEndian.AppendUint32(b, e.mu.epoch)
	b = append(b, 0, 0, 0, 0)
	b = append(b, w.shape...)
	b, d := w.columns.appendValues(b, f, &e.mu.base)
	binary.LittleEndian.PutUint32(b[logHeader-4:], d.sum())
	b = append(b, w.packed...)
	if cap(b) <= maxScratch {
		e.mu.record = b
	}
	e.mu.written += len(b)
	err := write(b)
	if err != nil {
		e.forgetLocked()
	}
	return err
}
