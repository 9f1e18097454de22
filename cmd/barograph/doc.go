// Barograph is a Prometheus-compatible time-series database in one binary. This package is its
// command line: flags, signals and exit codes. What a command does for more than a few lines stands
// in a file of its own; what a running node is stands in cmd/barograph/node.
package main
