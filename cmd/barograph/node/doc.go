// Package node builds one Barograph node out of the other packages and runs it. It alone knows
// flags, the configuration file and the environment, and it alone sees every package.
//
// # Life
//
// New reads the configuration and takes the addresses; it starts nothing. Run starts and stops the
// parts in a written order (see Node.Run):
//
//	New ── config file, registry, listeners
//	Run ── HTTP up: health and metrics answer, the rest 503 while the WAL is replayed
//	       storage opened, write and query stacks built, all routes mounted: ready
//	       ...
//	       context done: writes refused with 503, requests drained, storage closed
//
// # Reload
//
// A configuration is an immutable File behind one atomic pointer. Reload parses and validates the
// whole new file first, and only then swaps the pointer and tells the parts that can change while
// they run; a bad file changes nothing. What cannot change in a running process is said in the log.
//
// # Who may call what
//
// New, then Run once. Reload, Addresses and Ready may be called by any goroutine.
package node
