package frame

import (
	"errors"
	"fmt"
)

var (
	// ErrCorrupt marks bytes that are not a frame.
	ErrCorrupt = errors.New("frame is corrupt")
	// ErrLost marks a frame that builds on one that is lost.
	ErrLost = errors.New("frame builds on one that is lost")
	// ErrTooLarge marks a frame with too many samples.
	ErrTooLarge = errors.New("frame is too large")
)

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
