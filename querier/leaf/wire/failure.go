package wire

import (
	"encoding/binary"
	"strings"

	"github.com/barograph-db/barograph/querier/leaf"
)

// maxFailure is how much is told of an error.
const maxFailure = 4096

const (
	flagElsewhere = 1 << iota
	flagFallback
	flagStale
)

func appendFailure(dst []byte, f leaf.Failure) []byte {
	flags := byte(0)
	if f.Elsewhere {
		flags |= flagElsewhere
	}
	if f.Fallback {
		flags |= flagFallback
	}
	text := f.Text
	if len(text) > maxFailure {
		text = strings.ToValidUTF8(text[:maxFailure], "")
	}
	if dst = append(dst, f.Kind, flags); f.Stale {
		dst[len(dst)-1] |= flagStale
		dst = binary.AppendUvarint(dst, f.Epoch)
	}
	return append(dst, text...)
}

// decodeFailure returns a *leaf.Failure, or what is wrong with it.
func decodeFailure(b []byte) error {
	if len(b) < 2 || len(b) > 2+binary.MaxVarintLen64+maxFailure || b[1] > flagElsewhere|flagFallback|flagStale {
		return malformed("failure of %d bytes", len(b))
	}
	f := &leaf.Failure{
		Kind: b[0], Elsewhere: b[1]&flagElsewhere != 0, Fallback: b[1]&flagFallback != 0, Stale: b[1]&flagStale != 0,
	}
	d := decoder{rest: b[2:]}
	if f.Stale {
		if f.Epoch = d.uvarint(); d.err != nil {
			return d.err
		}
	}
	f.Text = strings.ToValidUTF8(string(d.rest), "?")
	return f
}
