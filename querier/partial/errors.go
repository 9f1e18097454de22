package partial

import (
	"errors"
	"fmt"
)

// ErrCorrupt marks bytes that Append did not write.
var ErrCorrupt = errors.New("partial is corrupt")

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
