//go:build unix

package node

import "syscall"

// openFiles is how many files the process may have open; 0 is not known.
func openFiles() uint64 {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return uint64(r.Cur) //nolint:unconvert // The field's type is signed on some systems.
}
