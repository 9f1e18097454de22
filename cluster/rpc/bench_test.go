package rpc

import (
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cpuTime is what the process has used of the processors: on a busy machine it says more than the
// clock on the wall. Both ends are in it.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func pair(b *testing.B) (a, to *node) {
	sink := func(t *Transport) {
		t.Handle(Method{Name: "sink", Class: Bulk}, func(_ context.Context, _ Identity, s Stream) error {
			var buf []byte
			for {
				var err error
				if buf, err = s.Recv(buf); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
			}
		})
	}
	return start(b, 1, sink), start(b, 2, sink)
}

func BenchmarkCall(b *testing.B) {
	from, to := pair(b)
	req := make([]byte, 100)
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	call := func() {
		if _, err := from.Call(ctx, to.peer, "echo", req); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		begin, n := cpuTime(), 0
		for b.Loop() {
			call()
			n++
		}
		b.ReportMetric(float64(cpuTime()-begin)/float64(n), "cpu-ns/op")
	})
	b.Run("many", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		begin := cpuTime()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				call()
			}
		})
		b.ReportMetric(float64(cpuTime()-begin)/float64(b.N), "cpu-ns/op")
	})
}

// BenchmarkSend streams messages one way.
func BenchmarkSend(b *testing.B) {
	from, to := pair(b)
	for _, c := range []struct {
		name string
		size int
	}{{"100B", 100}, {"4KiB", 4 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			s, err := from.Open(b.Context(), to.peer, "sink")
			require.NoError(b, err)
			defer s.Close()
			msg := make([]byte, c.size)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			begin, n := cpuTime(), 0
			for b.Loop() {
				if err := s.Send(msg); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(cpuTime()-begin)/float64(n), "cpu-ns/op")
			b.ReportMetric(float64(cpuTime()-begin)/float64(n*c.size)*1e6, "cpu-ns/MB")
		})
	}
}
