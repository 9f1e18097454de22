package wal

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	dto "github.com/prometheus/client_model/go"
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
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.Run(tb.Context()) })
	tb.Cleanup(func() { // The context has ended.
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

// reportCPU reports the processor's time, which other work on the machine disturbs less.
func reportCPU(b *testing.B, since time.Duration) {
	b.ReportMetric(float64(cpuTime()-since)/float64(b.N), "cpu-ns/op")
}

// written is what the process had the disk write, in whole pages.
func written() (n int64) {
	text, _ := os.ReadFile("/proc/self/io")
	_, rest, _ := strings.Cut(string(text), "\nwrite_bytes: ")
	_, _ = fmt.Sscan(rest, &n)
	return n
}

func syncs(tb testing.TB, w *WAL) float64 {
	var m dto.Metric
	if err := w.metrics.syncs.Write(&m); err != nil {
		tb.Fatal(err)
	}
	return float64(m.GetHistogram().GetSampleCount())
}

// BenchmarkCommit appends records of 2 KB, a request of 2000 samples, and waits for each.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			w := openRunning(b, vfs.Default, b.TempDir(), Options{})
			payload := make([]byte, 2_000)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			cpu, before := cpuTime(), written()
			work := make(chan struct{})
			var wg sync.WaitGroup
			var mu sync.Mutex
			var waits []time.Duration
			for range writers {
				wg.Go(func() {
					for range work {
						begin := time.Now()
						if err := w.Enter(); err != nil {
							b.Error(err)
							continue
						}
						pos, err := w.Append(1, payload)
						if err == nil {
							err = w.Wait(b.Context(), pos)
						}
						w.Leave()
						if err != nil {
							b.Error(err)
						}
						mu.Lock()
						waits = append(waits, time.Since(begin))
						mu.Unlock()
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			reportCPU(b, cpu)
			slices.Sort(waits)
			b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64(written()-before)/float64(b.N), "disk-B/op")
			b.ReportMetric(float64(b.N)/syncs(b, w), "records/sync")
		})
	}
}

// sinkFS forgets what is written.
type sinkFS struct{ vfs.FS }

func (s *sinkFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return sink{f}, err
}

type sink struct{ vfs.File }

func (sink) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkAppend is the cost without the disk's.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 20_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			w := openRunning(b, &sinkFS{vfs.NewMem()}, testDir, Options{Sync: Off})
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			cpu := cpuTime()
			for b.Loop() {
				if _, err := w.Append(1, payload); err != nil {
					b.Fatal(err)
				}
			}
			reportCPU(b, cpu)
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
			cpu := cpuTime()
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
			reportCPU(b, cpu)
		})
	}
}
