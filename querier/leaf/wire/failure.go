package wire

import (
	"strings"

	"github.com/barograph-db/barograph/querier/leaf"
)

// maxFailure is how much is told of an error.
const maxFailure = 4096

const (
	flagElsewhere = 1 << iota
	flagFallback
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
	return append(append(dst, f.Kind, flags), text...)
}

// decodeFailure returns a *leaf.Failure, or what is wrong with it.
func decodeFailure(b []byte) error {
	if len(b) < 2 || len(b) > 2+maxFailure || b[1] > flagElsewhere|flagFallback {
		return malformed("failure of %d bytes", len(b))
	}
	return &leaf.Failure{
		Kind: b[0], Elsewhere: b[1]&flagElsewhere != 0, Fallback: b[1]&flagFallback != 0,
		Text: strings.ToValidUTF8(string(b[2:]), "?"),
	}
}
