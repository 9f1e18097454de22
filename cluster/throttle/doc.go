// Package throttle bounds what a node takes in from others in a second, whatever for: moves and repair
// share one Throttle.
package throttle
