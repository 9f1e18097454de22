// Package durable keeps small files of a node whole: what is written takes the place of what was there
// in one step, so that after a crash there is the one or the other.
package durable
