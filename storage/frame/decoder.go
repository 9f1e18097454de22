package frame

import (
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/zstd"
)

var decompressor = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(MaxBytes))
	if err != nil {
		panic(err) // Only over options.
	}
	return d
})

// Decoder reads the frames of a log, in their order.
type Decoder struct {
	base   bases
	epoch  uint32
	limits Limits
	zstd   *zstd.Decoder // of its own, where there are limits
}

// NewDecoder returns a decoder at the begin of a log.
func NewDecoder() *Decoder { return &Decoder{base: bases{keep: true}} }

// Unpacked is a frame of which all is decoded that does not build on those before it. It may be used
// for one frame after the other.
type Unpacked struct {
	frame   *Frame
	columns columns
	gens    reader
	log     bool
	epoch   uint32
	sum     uint32
}

var unpackeds = sync.Pool{New: func() any { return &Unpacked{} }}

func (u *Unpacked) release() {
	u.frame, u.gens = nil, reader{}
	if cap(u.columns.classes) <= maxScratch/16 {
		unpackeds.Put(u)
	}
}

// Decode fills f like the function of that name, also from a frame that stands by itself. The
// order of the samples of one series is that in which they were encoded; of others it may differ.
// ErrLost says that a frame before this one is missing, and that f is of no use for that.
func (d *Decoder) Decode(f *Frame, b []byte) error {
	u := unpackeds.Get().(*Unpacked)
	defer u.release()
	if err := u.unpackWithin(f, b, d.limits, d.decompressor); err != nil {
		return err
	}
	return d.Complete(u)
}

// Unpack begins what Decode does, with the part that takes most of the time and may be done for many
// frames at a time. Complete does the rest; until then f is of no use. After an error there is none.
func (u *Unpacked) Unpack(f *Frame, b []byte) error {
	return u.unpackWithin(f, b, Limits{}, decompressor)
}

func (u *Unpacked) unpackWithin(f *Frame, b []byte, l Limits, unzip func() *zstd.Decoder) error {
	l.ensureDefaults()
	u.frame = f
	f.Reset()
	if len(b) < header {
		return corruptf("%d bytes", len(b))
	}
	if b[0] != version {
		return corruptf("version %d", b[0])
	}
	flags, at := b[1], header
	if u.log = flags&flagLog != 0 && len(b) >= logHeader; u.log {
		u.epoch, u.sum = binary.LittleEndian.Uint32(b[header:]), binary.LittleEndian.Uint32(b[header+4:])
		flags, at = flags&^flagLog, logHeader
	}
	return u.unpack(b[at:], flags, l, unzip)
}

// Complete fills the frame that was unpacked. Frames come in the order of the log.
func (d *Decoder) Complete(u *Unpacked) error {
	if !u.log {
		_, err := u.complete(&bases{})
		return err
	}
	if u.epoch != d.epoch {
		d.base.forget()
		d.epoch = u.epoch
	}
	sum, err := u.complete(&d.base)
	if err == nil && sum != u.sum {
		err = ErrLost
	}
	return err
}

// Decode fills f, using the memory it has, from the bytes of a frame that stands by itself. It does
// not look into label bytes: whoever defines the series does. After an error f is of no use.
func Decode(f *Frame, b []byte) error {
	u := unpackeds.Get().(*Unpacked)
	defer u.release()
	if err := u.Unpack(f, b); err != nil {
		return err
	}
	if u.log {
		return corruptf("a frame of a log")
	}
	_, err := u.complete(&bases{})
	return err
}

func (u *Unpacked) unpack(b []byte, flags byte, l Limits, unzip func() *zstd.Decoder) (err error) {
	if flags&^flagZstd != 0 {
		return corruptf("flags %#x", flags)
	}
	f, r := u.frame, reader{b: b}
	u.columns.shape(&r, f, l.Samples)
	if !l.hold(f.Refs) {
		return corruptf("an index of %d or more", l.Index)
	}
	u.gens = u.columns.values(&r, f)
	if r.failed {
		return corruptf("cut short or too long in some column")
	}
	if flags&flagZstd != 0 {
		if f.body, err = unzip().DecodeAll(r.b, f.body[:0]); err != nil {
			return corruptf("%v", err)
		}
		r.b = f.body
	}
	if len(r.b) > l.Rest {
		return corruptf("%d bytes beside the samples", len(r.b))
	}
	if r.rest(f); !r.failed && len(r.b) > 0 {
		return corruptf("%d bytes too many", len(r.b))
	}
	if r.failed {
		return corruptf("cut short or too long in some field")
	}
	return nil
}

func (u *Unpacked) complete(base *bases) (sum uint32, err error) {
	if len(u.frame.Refs) == 0 {
		return 0, nil
	}
	return u.columns.decodeValues(u.frame, u.gens, base).sum(), nil
}
