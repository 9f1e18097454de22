// Package api is Prometheus' HTTP API: parameters in, JSON out.
//
// Every URL it answers is a row of the table in routes.go; the node mounts them. A request takes
// this way:
//
//	edge (metrics, panics, body limit, readiness)
//	  → parameters (request.go)
//	    → one handler: query.go, labels.go, status.go, ... : plain values in, an answer or an error out
//	  → envelope (answer.go) → bytes (json.go) → gzip, socket (body.go)
//
// Two URLs speak something else than the JSON envelope and write for themselves: remote read
// (read.go) and federation (federate.go).
//
// What a handler needs of the rest of the system comes in through Options: the Engine, what the
// storage knows beside samples, and functions for what a node says of itself. A part that a node
// does not have is nil, and its URL answers a well-formed empty result or says that it is not
// there.
//
// # Errors
//
// A handler returns an error. Those that carry a kind (request.go, engine errors) say so by
// wrapping failure; classify decides for the others. One table, kinds in errors.go, gives each
// kind its errorType and HTTP status.
//
// # Memory
//
// An answer is appended to a pooled buffer, and what exceeds spillBytes goes out at once, so that
// a large result costs what the engine holds and no copy of it. The engine's result is given back
// only after the last byte was written, since its slices are pooled there.
//
// All of an API may be called concurrently.
package api
