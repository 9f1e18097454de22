package block

import (
	"encoding/binary"

	"github.com/barograph-db/barograph/storage/series"
)

// fingerprintsPerBlock is the number of fingerprints in all blocks of them but the last. A power
// of two. A block is the fingerprints by ordinal, little endian, 8 bytes each.
const (
	fingerprintBits      = 10
	fingerprintsPerBlock = 1 << fingerprintBits
)

func appendFingerprint(dst []byte, f series.Fingerprint) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(f))
}

// fingerprintAt returns fingerprint i of a block; false if there is none.
func fingerprintAt(b []byte, i uint32) (series.Fingerprint, bool) {
	at := int(i) * 8
	if at+8 > len(b) {
		return 0, false
	}
	return series.Fingerprint(binary.LittleEndian.Uint64(b[at:])), true
}
