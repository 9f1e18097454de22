package frame

import (
	"errors"
	"fmt"
)

// ErrCorrupt marks bytes that are not a frame.
var ErrCorrupt = errors.New("frame is corrupt")

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
