package block

import (
	"errors"
	"fmt"
)

// ErrCorrupt marks the error of a part whose bytes cannot be what was written: a checksum of
// Pebble's, a row that does not decode, a row that is missing. What else the part holds is
// unknown, so whoever asked gets no answer from it.
var ErrCorrupt = errors.New("part is corrupt")

// errDecode is what the decoders of this package return.
var errDecode = errors.New("malformed bytes")

func decodeErrorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDecode, fmt.Sprintf(format, args...))
}
