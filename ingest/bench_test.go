package ingest

import (
	"syscall"
	"testing"
	"time"
)

// cpuTime is what the process has used of the processors: on a busy machine it says more than the
// clock on the wall.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// loop runs f until the benchmark has enough, and reports CPU time per unit.
func loop(b *testing.B, perOp int, unit string, f func()) {
	b.ReportAllocs()
	begin, n := cpuTime(), 0
	for b.Loop() {
		f()
		n += perOp
	}
	b.ReportMetric(float64(cpuTime()-begin)/float64(n), "cpu-ns/"+unit)
}
