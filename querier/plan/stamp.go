package plan

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/barograph-db/barograph/storage/series"
)

// Stamp tells views apart: with those of one stamp the same is read from the same nodes.
func (v View) Stamp() uint64 { return v.stamp }

// stampOf is a hash of all that plans depend on. A placement is what its epoch says; gaps come in any
// order.
func stampOf(epoch uint64, l *layout) uint64 {
	b := binary.LittleEndian.AppendUint64(nil, epoch)
	b = binary.AppendVarint(b, int64(l.self))
	for _, alive := range l.alive {
		if alive {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	sum := xxhash.Sum64(b)
	for _, gaps := range l.gaps {
		for i := range gaps {
			sum += xxhash.Sum64(gaps[i].append(b[:0]))
		}
	}
	return sum
}

func (g *Gap) append(dst []byte) []byte {
	dst = append(dst, g.Node[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(g.Mint))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(g.Maxt))
	if g.Forgot {
		dst = append(dst, 1)
	}
	if g.Shards == nil {
		return dst
	}
	dst = append(dst, g.Shards.Bits)
	for s := range 1 << g.Shards.Bits {
		if g.Shards.Has(series.Fingerprint(uint64(s) << (64 - g.Shards.Bits))) {
			dst = binary.AppendUvarint(dst, uint64(s))
		}
	}
	return dst
}
