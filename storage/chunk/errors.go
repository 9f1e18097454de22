package chunk

import (
	"errors"
	"fmt"
)

// ErrCorrupt marks bytes that no encoder of this package wrote.
var ErrCorrupt = errors.New("chunk is corrupt")

// ErrTooLarge says that a row would pass MaxRowChunks or MaxRowBytes.
var ErrTooLarge = errors.New("chunk row is too large")

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
