package eval

import "errors"

// Errors of Run.
var (
	// ErrFallback says that the series hold what only the engine can compute.
	ErrFallback = errors.New("not for columns")
	// ErrTooManySamples says that the series would be evaluated to more samples than allowed.
	ErrTooManySamples = errors.New("too many samples")
)
