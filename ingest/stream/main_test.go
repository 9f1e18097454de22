package stream

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/storage/frame"
)

// The compressor that all frames share has channels, which must not be those of the first bubble.
func TestMain(m *testing.M) {
	f := &frame.Frame{Metadata: []frame.Metadata{{Help: strings.Repeat("x", 1000)}}}
	if err := frame.Decode(&frame.Frame{}, frame.AppendEncode(nil, f)); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
