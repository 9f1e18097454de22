package wire

import (
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// batchBytes is how long a batch grows before it is sent.
	batchBytes = 64 << 10
	// minPack is from when on packing is tried, and it is taken if it saves an eighth.
	minPack = 256
	saved   = 8
)

var packer = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(2*batchBytes), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // Only over options.
	}
	return e
})

var unpacker = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxBody),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err) // Only over options.
	}
	return d
})

// sendBatch sends a batch. All memory is the caller's again afterwards.
func (s *sender) sendBatch(head, rows []byte) error {
	packed := head
	var lengths []byte
	if len(head) >= minPack {
		s.packed = packer().EncodeAll(head, s.packed[:0])
	} else {
		s.packed = s.packed[:0]
	}
	if n := len(s.packed); n > 0 && n < len(head)-len(head)/saved {
		packed = s.packed
		lengths = binary.AppendUvarint(s.lengths[:0], uint64(n))
	} else {
		lengths = append(s.lengths[:0], 0)
	}
	s.lengths = binary.AppendUvarint(lengths, uint64(len(head)))
	return s.send(kindBatch, s.lengths, packed, rows)
}

// openBatch returns the parts of a batch. They are views, or memory that take was asked for.
func openBatch(body []byte, take func(int64) error) (head, rows []byte, err error) {
	d := decoder{rest: body}
	packed, size := d.uvarint(), d.uvarint()
	switch {
	case d.err != nil:
		return nil, nil, d.err
	case packed == 0:
		head = d.bytes(size)
		return head, d.rest, d.err
	case size > maxBody:
		return nil, nil, malformed("batch with a head of %d bytes", size)
	}
	data := d.bytes(packed)
	if d.err != nil {
		return nil, nil, d.err
	}
	if err := take(int64(size)); err != nil {
		return nil, nil, err
	}
	head, err = unpacker().DecodeAll(data, make([]byte, 0, size))
	if err != nil || uint64(len(head)) != size {
		return nil, nil, malformed("head of %d bytes unpacks to %d: %v", size, len(head), err)
	}
	return head, d.rest, nil
}
