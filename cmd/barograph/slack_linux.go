package main

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// slack is how late the kernel may wake a thread that sleeps, in nanoseconds.
//
// Go's runtime has a thread that looks after the others. As long as a process does anything, it sleeps for
// 20 µs at a time, which with the kernel's 50 µs of slack is 14,000 times a second. Of a node that does something
// all the time, but not much, as one of a cluster that waits for its peers and its disk, that was a sixth
// of the CPU time. Timers of a millisecond and more, which are all that the node has, do not feel it.
const slack = 250_000

// loosen gives the process that slack. Only a thread can set its own, those that it starts have the same, and
// the runtime's is there before any code of ours: the process has to begin anew. Where that can't be done, all
// is as it was.
func loosen() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || now >= slack { // A service manager's choice counts, and so does that of the life before.
		return
	}
	path, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0) != nil {
		return
	}
	_ = unix.Exec(path, os.Args, os.Environ())
}
