package outbox

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openTest(t testing.TB, fs vfs.FS, change ...func(*Options)) *Outbox {
	t.Helper()
	opts := Options{Dir: "outbox", FS: fs}
	for _, c := range change {
		c(&opts)
	}
	o, err := Open(opts)
	require.NoError(t, err)
	return o
}

func peer(i byte) placement.NodeID { return placement.NodeID{15: i} }

func labelsOf(ref series.Ref) series.Labels {
	return series.FromStrings("__name__", "m", "index", fmt.Sprint(ref.Index()), "generation", fmt.Sprint(ref.Generation()))
}

// frameAt has samples of some series at a time.
func frameAt(t int64, refs ...series.Ref) *frame.Frame {
	f := &frame.Frame{}
	for _, ref := range refs {
		f.Refs, f.Times, f.Values = append(f.Refs, ref), append(f.Times, t), append(f.Values, float64(t)/10+float64(ref.Index()))
	}
	return f
}

// inbox takes what is delivered.
type inbox struct{ got map[string]float64 }

func newInbox() *inbox { return &inbox{got: map[string]float64{}} }

func sampleKey(ls series.Labels, t int64) string { return fmt.Sprintf("%s@%d", ls, t) }

func (b *inbox) add(f *frame.Frame, labels Labels) {
	for i, ref := range f.Refs {
		b.got[sampleKey(labels(ref), f.Times[i])] = f.Values[i]
	}
	for _, h := range f.Histograms {
		b.got["histogram "+sampleKey(labels(h.Ref), h.T)] = h.H.Sum
	}
	for _, e := range f.Exemplars {
		b.got["exemplar "+sampleKey(labels(e.Ref), e.T)] = e.V
	}
	for _, m := range f.Metadata {
		b.got["metadata "+m.Metric] = 1
	}
}

func (b *inbox) send(_ context.Context, f *frame.Frame, labels Labels) error {
	b.add(f, labels)
	return nil
}

func TestDelivers(t *testing.T) {
	o := openTest(t, vfs.NewMem())
	defer o.Close()
	want := newInbox()
	put := func(f *frame.Frame) {
		want.add(f, labelsOf)
		require.NoError(t, o.Put(peer(1), f, labelsOf))
	}
	put(frameAt(2000, 3, 1, series.MakeRef(2, 7)))
	put(frameAt(1000, 3, 1, series.MakeRef(2, 8))) // The index is another series' by now.
	put(&frame.Frame{
		Histograms: []frame.Histogram{{Ref: 9, T: 3000, H: &histogram.Histogram{Sum: 5}}},
		Exemplars:  []frame.Exemplar{{Ref: 10, T: 5000, V: 1, Labels: series.FromStrings("trace", "x")}},
		Metadata:   []frame.Metadata{{Metric: "m", Type: "counter"}},
	})
	require.Equal(t, []Gap{{Peer: peer(1), From: 1000, Open: true}}, o.Gaps())
	require.Equal(t, []placement.NodeID{peer(1)}, o.Waiting())
	<-o.Changed()
	got := newInbox()
	require.NoError(t, o.Drain(t.Context(), peer(1), got.send))
	require.Equal(t, want, got)
	require.Empty(t, o.Gaps())
	require.Empty(t, o.Waiting())
	<-o.Changed()
	require.NoError(t, o.Drain(t.Context(), peer(1), func(context.Context, *frame.Frame, Labels) error {
		return errors.New("there is nothing")
	}))
}

// Random frames for three peers, drained in pieces, over crashes: every peer gets all that was put,
// and has a gap for as long as it has not.
func TestRandomLife(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			fs := vfs.NewCrashableMem()
			small := func(o *Options) { o.SegmentBytes = 2000 }
			o := openTest(t, fs, small)
			want, got := map[byte]*inbox{}, map[byte]*inbox{}
			for i := range byte(3) {
				want[i], got[i] = newInbox(), newInbox()
			}
			for range 150 {
				i := byte(rng.IntN(3))
				switch rng.IntN(12) {
				case 0: // The machine loses power.
					crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
					require.NoError(t, o.Close())
					fs = crashed
					o = openTest(t, fs, small)
				case 1:
					left := rng.IntN(20)
					err := o.Drain(t.Context(), peer(i), func(_ context.Context, f *frame.Frame, labels Labels) error {
						if left--; left < 0 {
							return os.ErrDeadlineExceeded
						}
						return got[i].send(t.Context(), f, labels)
					})
					if err != nil {
						require.ErrorIs(t, err, os.ErrDeadlineExceeded)
						require.Contains(t, o.Waiting(), peer(i))
					}
				default:
					f, generation := &frame.Frame{}, uint32(rng.IntN(2))
					for range rng.IntN(100) {
						ref := series.MakeRef(uint32(rng.IntN(200)), generation)
						f.Refs, f.Times, f.Values = append(f.Refs, ref), append(f.Times, rng.Int64N(1e6)), append(f.Values, rng.NormFloat64())
					}
					want[i].add(f, labelsOf)
					require.NoError(t, o.Put(peer(i), f, labelsOf))
				}
				for i := range byte(3) {
					if missing(want[i], got[i]) {
						require.Contains(t, o.Waiting(), peer(i))
					}
				}
			}
			for i := range byte(3) {
				require.NoError(t, o.Drain(t.Context(), peer(i), got[i].send))
				require.Equal(t, want[i], got[i])
			}
			require.Empty(t, o.Gaps())
			require.NoError(t, o.Close())
		})
	}
}

func missing(want, got *inbox) bool {
	for k := range want.got {
		if _, ok := got.got[k]; !ok {
			return true
		}
	}
	return false
}

func TestGivesUpTheOldest(t *testing.T) {
	fs := vfs.NewMem()
	bounds := func(o *Options) { o.SegmentBytes, o.MaxBytes = 1000, 5000 }
	o := openTest(t, fs, bounds)
	const frames = 300
	for i := range int64(frames) {
		refs := make([]series.Ref, 20)
		for j := range refs {
			refs[j] = series.Ref(i*20 + int64(j))
		}
		require.NoError(t, o.Put(peer(1), frameAt(i, refs...), labelsOf))
	}
	gaps := o.Gaps()
	require.Len(t, gaps, 2)
	require.Equal(t, Gap{Peer: peer(1), From: 0, Open: true}, gaps[0])
	lost := gaps[1]
	require.False(t, lost.Open)
	require.Zero(t, lost.From)
	require.Less(t, lost.To, int64(frames))

	require.NoError(t, o.Close())
	o = openTest(t, fs, bounds)
	require.Equal(t, gaps, o.Gaps())
	got := newInbox()
	require.NoError(t, o.Drain(t.Context(), peer(1), got.send))
	require.Len(t, got.got, int(frames-1-lost.To)*20, "all but what is lost")
	require.Equal(t, []Gap{lost}, o.Gaps())
	l, ok := o.Lost(peer(1))
	require.True(t, ok)
	require.Equal(t, Loss{From: lost.From, To: lost.To, Number: l.Number}, l)
	older := l
	older.Number--
	require.NoError(t, o.Repaired(peer(1), older), "more was lost since, of the same time")
	require.Len(t, o.Gaps(), 1)
	require.NoError(t, o.Repaired(peer(1), l))
	require.Empty(t, o.Gaps())
	_, ok = o.Lost(peer(1))
	require.False(t, ok)
	require.NoError(t, o.Repaired(peer(1), l))

	require.NoError(t, o.Close())
	o = openTest(t, fs, bounds)
	require.Empty(t, o.Gaps())
	require.NoError(t, o.Close())
}

func TestForget(t *testing.T) {
	o := openTest(t, vfs.NewMem())
	defer o.Close()
	require.NoError(t, o.Put(peer(1), frameAt(1, 1), labelsOf))
	require.NoError(t, o.Put(peer(2), frameAt(1, 1), labelsOf))
	require.NoError(t, o.Forget(peer(1)))
	require.Equal(t, []placement.NodeID{peer(2)}, o.Waiting())
	require.NoError(t, o.Forget(peer(3)), "there is nothing of it")
}

// fullFS is a disk with little room.
type fullFS struct{ vfs.FS }

func (fullFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 40}, nil
}

func TestFullDisk(t *testing.T) {
	o := openTest(t, fullFS{vfs.NewMem()})
	defer o.Close()
	require.ErrorIs(t, o.Put(peer(1), frameAt(7, 1), labelsOf), ErrFull)
	require.Empty(t, o.Gaps(), "the write has failed")
	require.Empty(t, o.Waiting())
}

// At each write of the store the disk is full to the brim for a moment, in spite of the reserve: the
// outbox waits, and nothing is lost.
func TestWaitsForRoom(t *testing.T) {
	for n := int64(1); ; n++ {
		mem := vfs.NewMem()
		var ops, hits atomic.Int64
		o := openTest(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind != errorfs.OpCreate && op.Kind != errorfs.OpFileWrite {
				return nil
			}
			if i := ops.Add(1); i < n || i >= n+3 {
				return nil
			}
			hits.Add(1)
			return syscall.ENOSPC
		})), func(o *Options) { o.SegmentBytes = 1 })
		for i := range int64(3) {
			require.NoError(t, o.Put(peer(1), frameAt(i, 1, 2), labelsOf))
		}
		require.NoError(t, o.db.Flush())
		ops.Store(math.MaxInt64 / 2) // What is being closed does not wait.
		require.NoError(t, o.Close())
		o = openTest(t, mem)
		got := newInbox()
		require.NoError(t, o.Drain(t.Context(), peer(1), got.send))
		require.Len(t, got.got, 6)
		require.NoError(t, o.Close())
		if hits.Load() == 0 {
			require.Greater(t, n, int64(10))
			return
		}
	}
}

// A segment that can't be read is lost, and nothing else is.
func TestDamage(t *testing.T) {
	fs := vfs.NewMem()
	small := func(o *Options) { o.SegmentBytes = 1 }
	o := openTest(t, fs, small)
	for i := range int64(5) {
		require.NoError(t, o.Put(peer(1), frameAt(i, 1, 2), labelsOf))
	}
	bad := extent{span: span{2, 2}, bytes: 1}.append(nil)
	require.NoError(t, o.db.Set(key(peer(1), 3, 0), append(bad, "no frame"...), pebble.Sync))
	require.NoError(t, o.Close())
	o = openTest(t, fs, small)
	defer o.Close()
	got := newInbox()
	require.NoError(t, o.Drain(t.Context(), peer(1), got.send))
	require.Len(t, got.got, 8)
	require.Equal(t, []Gap{{Peer: peer(1), From: 2, To: 2}}, o.Gaps())
}

func TestConcurrently(t *testing.T) {
	o := openTest(t, vfs.NewMem(), func(o *Options) { o.SegmentBytes = 500 })
	defer o.Close()
	want, got := newInbox(), newInbox()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for w := range uint32(4) {
		wg.Go(func() {
			for i := range int64(100) {
				f := frameAt(i, series.Ref(w), series.Ref(w+10))
				mu.Lock()
				want.add(f, labelsOf)
				mu.Unlock()
				if err := o.Put(peer(1), f, labelsOf); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		require.NoError(t, o.Drain(t.Context(), peer(1), got.send))
		o.Gaps()
	}
	require.Equal(t, want, got)
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{},
		{Dir: "x", MaxBytes: 1, SegmentBytes: 2},
		{Dir: "x", Reserve: -1},
	} {
		_, err := Open(o)
		require.Error(t, err)
	}
}

// What the first version wrote is read for ever.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/v1.txt")
	require.NoError(t, err)
	fs := vfs.NewMem()
	require.NoError(t, openTest(t, fs).Close())
	db, err := pebble.Open("outbox", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest})
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), " ")
		require.True(t, ok)
		rawKey, err := hex.DecodeString(k)
		require.NoError(t, err)
		rawValue, err := hex.DecodeString(v)
		require.NoError(t, err)
		require.NoError(t, db.Set(rawKey, rawValue, pebble.NoSync))
	}
	require.NoError(t, db.Close())
	o := openTest(t, fs)
	defer o.Close()
	require.Equal(t, []Gap{{Peer: peer(1), From: 1000, Open: true}, {Peer: peer(2), From: -5, To: 5}}, o.Gaps())
	want, got := newInbox(), newInbox()
	want.add(frameAt(1000, 1, 2), labelsOf)
	want.add(frameAt(2000, 1, 2, 3), labelsOf)
	require.NoError(t, o.Drain(t.Context(), peer(1), got.send))
	require.Equal(t, want, got)
}

func FuzzRecord(f *testing.F) {
	f.Add(extent{span: span{-1, 5}, bytes: 7}.append(nil))
	f.Add(extent{span: nothing}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := parseRecord(b)
		if err != nil {
			return
		}
		again, tail, err := parseRecord(append(e.append(nil), rest...))
		require.NoError(t, err)
		require.Equal(t, e, again)
		require.Equal(t, rest, tail)
	})
}

func FuzzGap(f *testing.F) {
	f.Add(gapRecord{from: 5, lost: nothing}.append(nil))
	f.Add(gapRecord{from: -5, lost: span{1, 2}}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := parseGap(b)
		if err != nil {
			return
		}
		again, err := parseGap(g.append(nil))
		require.NoError(t, err)
		require.Equal(t, g, again)
	})
}
