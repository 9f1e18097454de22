package wal

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// openRunning opens a log that runs until the test ends.
func openRunning(tb testing.TB, fs vfs.FS, dir string, opts Options) *WAL {
	tb.Helper()
	w, err := Open(fs, dir, opts)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Replay(func(uint64, Kind, []byte) error { return nil }); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.Run(ctx) })
	tb.Cleanup(func() {
		cancel()
		wg.Wait()
		_ = w.Close()
	})
	return w
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCommit appends records of 20 KB, a request of 2000 samples, and waits for each.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			w := openRunning(b, vfs.Default, b.TempDir(), Options{})
			payload := make([]byte, 20_000)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			cpu := cpuTime()
			work := make(chan struct{})
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for range work {
						pos, err := w.Append(1, payload)
						if err == nil {
							err = w.Wait(context.Background(), pos)
						}
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkAppend is the cost to the appender alone.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 20_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			w := openRunning(b, vfs.Default, b.TempDir(), Options{Sync: Off})
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Append(1, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReplay reads 64 MB from the page cache.
func BenchmarkReplay(b *testing.B) {
	for _, size := range []int{200, 20_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			dir := b.TempDir()
			w, err := Open(vfs.Default, dir, Options{Sync: Off})
			if err != nil {
				b.Fatal(err)
			}
			nothing := func(uint64, Kind, []byte) error { return nil }
			_, _ = w.Replay(nothing)
			payload := make([]byte, size)
			for n := 0; n < 64_000_000; n += size {
				if _, err := w.Append(1, payload); err != nil {
					b.Fatal(err)
				}
				if n%8_000_000 == 0 {
					w.withTurn(w.commit)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(64_000_000)
			for b.Loop() {
				w, err := Open(vfs.Default, dir, Options{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.Replay(nothing); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
