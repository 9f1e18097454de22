package frame

import (
	"github.com/klauspost/compress/zstd"

	"github.com/barograph-db/barograph/storage/series"
)

// Limits bound what a Decoder takes of frames that come from elsewhere; zero is the package's own bound.
type Limits struct {
	Samples int // floats
	Rest    int // bytes beside the float samples, decompressed
	// Index is the first index that a float sample may not have: the decoder's state is as long as the
	// highest one.
	Index uint32
}

func (l *Limits) ensureDefaults() {
	if l.Samples == 0 {
		l.Samples = MaxSamples
	}
	if l.Rest == 0 {
		l.Rest = MaxBytes
	}
}

// NewLimitedDecoder is NewDecoder for frames that are not trusted to be of a reasonable size.
func NewLimitedDecoder(l Limits) *Decoder {
	l.ensureDefaults()
	return &Decoder{base: bases{keep: true}, limits: l}
}

// decompressor is the one that stops at the limit, made when it is first needed.
func (d *Decoder) decompressor() *zstd.Decoder {
	if d.limits.Rest >= MaxBytes || d.limits.Rest == 0 {
		return decompressor()
	}
	if d.zstd == nil {
		var err error
		d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(uint64(max(d.limits.Rest, window))))
		if err != nil {
			panic(err) // Only over options.
		}
	}
	return d.zstd
}

// hold reports whether a frame's references, of which the generations are not known yet, are within
// the limit.
func (l *Limits) hold(refs []series.Ref) bool {
	if l.Index == 0 {
		return true
	}
	most := uint32(0)
	for _, ref := range refs {
		most = max(most, ref.Index())
	}
	return most < l.Index
}
