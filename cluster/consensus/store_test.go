package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

func storeOptions(fs vfs.FS) *Options {
	o := &Options{ID: id(1), Dir: "/data/raft", FS: fs, MaxSnapshotBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)}
	o.EnsureDefaults()
	return o
}

func tryStore(o *Options) (*store, error) {
	s, err := openStore(o, newFailure(), newMetrics(nil))
	if err != nil {
		return nil, err
	}
	s.check = func([]byte) error { return nil }
	return s, nil
}

func openTestStore(t testing.TB, fs vfs.FS) *store {
	t.Helper()
	s, err := tryStore(storeOptions(fs))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.close() })
	return s
}

func entry(index uint64, data string) *raft.Log {
	return &raft.Log{Index: index, Term: 1 + index/10, Type: raft.LogCommand, Data: []byte(data), AppendedAt: time.Unix(0, int64(index)).UTC()}
}

func storeSome(t *testing.T, s *store, from, n uint64) {
	t.Helper()
	require.NoError(t, s.SetUint64([]byte("CurrentTerm"), 1+(from+n)/10))
	var logs []*raft.Log
	for i := from; i < from+n; i++ {
		logs = append(logs, entry(i, fmt.Sprint("entry ", i)))
	}
	require.NoError(t, s.StoreLogs(logs))
}

func requireRange(t *testing.T, s *store, first, last uint64) {
	t.Helper()
	f, err := s.FirstIndex()
	require.NoError(t, err)
	l, err := s.LastIndex()
	require.NoError(t, err)
	require.Equal(t, [2]uint64{first, last}, [2]uint64{f, l})
	var got raft.Log
	for i := f; i != 0 && i <= l; i++ {
		require.NoError(t, s.GetLog(i, &got))
		require.Equal(t, *entry(i, fmt.Sprint("entry ", i)), got)
	}
	require.ErrorIs(t, s.GetLog(l+1, &got), raft.ErrLogNotFound)
	if f > 0 {
		require.ErrorIs(t, s.GetLog(f-1, &got), raft.ErrLogNotFound)
	}
}

// What raft expects of a log, as its own stores behave.
func TestLogStore(t *testing.T) {
	fs := newDisk()
	s := openTestStore(t, fs)
	requireRange(t, s, 0, 0)
	require.NoError(t, s.StoreLogs(nil))
	storeSome(t, s, 1, 5)
	requireRange(t, s, 1, 5)
	require.NoError(t, s.StoreLog(entry(6, "entry 6")))
	requireRange(t, s, 1, 6)
	require.Error(t, s.StoreLog(entry(8, "entry 8")), "a gap")
	require.Error(t, s.StoreLog(entry(6, "entry 6")), "an overwrite")
	require.NoError(t, s.DeleteRange(5, 6))
	requireRange(t, s, 1, 4)
	storeSome(t, s, 5, 10)
	require.Error(t, s.DeleteRange(3, 4), "a gap")
	require.NoError(t, s.DeleteRange(20, 30))
	require.NoError(t, s.DeleteRange(4, 3))
	require.NoError(t, s.DeleteRange(0, 0))
	requireRange(t, s, 1, 14)
	require.NoError(t, s.DeleteRange(1, 14))
	requireRange(t, s, 0, 0)
	storeSome(t, s, 100, 3)
	requireRange(t, s, 100, 102)

	// There is nothing before 100: what was there is lost.
	require.NoError(t, s.close())
	_, err := tryStore(storeOptions(fs))
	require.ErrorIs(t, err, ErrDamaged)
}

func TestStableStore(t *testing.T) {
	s := openTestStore(t, newDisk())
	_, err := s.Get([]byte("x"))
	require.EqualError(t, err, "not found")
	_, err = s.GetUint64([]byte("x"))
	require.EqualError(t, err, "not found")
	require.NoError(t, s.Set([]byte("x"), []byte("1")))
	v, err := s.Get([]byte("x"))
	require.NoError(t, err)
	require.Equal(t, "1", string(v))
	_, err = s.GetUint64([]byte("x"))
	require.ErrorIs(t, err, ErrDamaged)
	require.NoError(t, s.SetUint64([]byte("n"), 1<<63))
	n, err := s.GetUint64([]byte("n"))
	require.NoError(t, err)
	require.Equal(t, uint64(1<<63), n)
	require.NoError(t, s.close())
	require.NoError(t, s.close())
	_, err = s.Get([]byte("x"))
	require.ErrorIs(t, err, ErrClosed)
}

// Batches come from a pool of the whole process: one that is closed twice is taken from whoever has it
// by then.
func TestBatchesAreClosedOnce(t *testing.T) {
	s := openTestStore(t, newDisk())
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range uint64(300) {
				s.noteApplied(i)
				if err := s.SetUint64([]byte{byte(n)}, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for n := range 8 {
		got, err := s.GetUint64([]byte{byte(n)})
		require.NoError(t, err)
		require.EqualValues(t, 299, got)
	}
}

func takeSnapshot(t *testing.T, s *store, index uint64, data []byte) error {
	t.Helper()
	sink, err := s.Create(1, index, 3, toRaft(servers("1 2-")), index-1, nil)
	require.NoError(t, err)
	for part := range bytes.SplitSeq(data, []byte("|")) {
		if _, err := sink.Write(part); err != nil {
			require.NoError(t, sink.Cancel())
			return err
		}
	}
	require.NoError(t, sink.Close())
	return sink.Close()
}

func readOnlySnapshot(t *testing.T, s *store) (*raft.SnapshotMeta, []byte) {
	t.Helper()
	list, err := s.List()
	require.NoError(t, err)
	require.Len(t, list, 1)
	m, r, err := s.Open(list[0].ID)
	require.NoError(t, err)
	require.Equal(t, list[0], m)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return m, data
}

func TestSnapshotStore(t *testing.T) {
	fs := newDisk()
	s := openTestStore(t, fs)
	require.NoError(t, s.SetUint64([]byte("CurrentTerm"), 3))
	list, err := s.List()
	require.NoError(t, err)
	require.Empty(t, list)
	_, _, err = s.Open("1-2-3")
	require.Error(t, err)

	require.NoError(t, takeSnapshot(t, s, 10, []byte("ten")))
	big := bytes.Repeat([]byte(strings.Repeat("twenty", 100)+"|"), 1_200)
	require.NoError(t, takeSnapshot(t, s, 20, big))
	want := bytes.ReplaceAll(big, []byte("|"), nil)
	check := func() {
		m, data := readOnlySnapshot(t, s)
		require.Equal(t, want, data)
		require.Equal(t, uint64(20), m.Index)
		require.Equal(t, uint64(3), m.Term)
		require.Equal(t, uint64(19), m.ConfigurationIndex)
		require.Equal(t, toRaft(servers("1 2-")), m.Configuration)
	}
	check()
	// An older one does not take its place, nor one that is cancelled, too large, refused or not finished.
	require.NoError(t, takeSnapshot(t, s, 15, []byte("fifteen")))
	require.ErrorIs(t, takeSnapshot(t, s, 30, bytes.Repeat([]byte("x"), 2<<20)), ErrTooLarge)
	sink, err := s.Create(1, 40, 3, toRaft(servers("1")), 1, nil)
	require.NoError(t, err)
	_, err = sink.Write(make([]byte, 300<<10))
	require.NoError(t, err)
	s.check = func([]byte) error { return errRefused }
	refused, err := s.Create(1, 50, 3, toRaft(servers("1")), 1, nil)
	require.NoError(t, err)
	require.ErrorIs(t, refused.Close(), errRefused)
	check()
	require.NoError(t, s.close())
	s = openTestStore(t, fs)
	check()
	rows := 0
	require.NoError(t, s.scan([]byte{chunkKey}, []byte{chunkKey + 1}, func(_, _ []byte) error { rows++; return nil }))
	require.Equal(t, 1+len(want)/chunkBytes, rows)
	require.NoError(t, takeSnapshot(t, s, 60, nil))
	_, data := readOnlySnapshot(t, s)
	require.Empty(t, data)
}

// Power goes after a snapshot was received and before what it covers was removed.
func TestSnapshotBeyondLog(t *testing.T) {
	fs := newDisk()
	s := openTestStore(t, fs)
	storeSome(t, s, 1, 5)
	require.NoError(t, s.SetUint64([]byte("CurrentTerm"), 20))
	require.NoError(t, takeSnapshot(t, s, 99, []byte("x")))
	require.NoError(t, s.close())
	s = openTestStore(t, fs)
	requireRange(t, s, 0, 0)
	storeSome(t, s, 100, 3)
	require.NoError(t, s.close())
	requireRange(t, openTestStore(t, fs), 100, 102)
}

func TestOwner(t *testing.T) {
	fs := newDisk()
	require.NoError(t, openTestStore(t, fs).close())
	o := storeOptions(fs)
	o.ID = id(2)
	_, err := tryStore(o)
	require.ErrorContains(t, err, "belongs to node "+id(1).String())
}

// Whatever was stored before the power went is there after.
func TestStoreCrash(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 7))
		fs := newDisk()
		s := openTestStore(t, fs)
		first, last, term := uint64(1), uint64(0), uint64(0)
		for range 100 {
			switch rng.IntN(6) {
			case 0:
				term++
				require.NoError(t, s.Set([]byte("vote"), fmt.Append(nil, term)))
			case 1:
				if last > first+30 {
					require.NoError(t, takeSnapshot(t, s, last-5, fmt.Append(nil, last-5, " ", strings.Repeat("x", 10_000))))
					require.NoError(t, s.DeleteRange(first, last-10))
					first = last - 9
				}
			case 2:
				if last > first+10 {
					require.NoError(t, s.DeleteRange(last-2, last))
					last -= 3
				}
			default:
				n := 1 + rng.Uint64N(20)
				storeSome(t, s, last+1, n)
				last += n
			}
			if rng.IntN(10) > 0 {
				continue
			}
			fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
			require.NoError(t, s.close())
			s = openTestStore(t, fs)
			if last == 0 {
				requireRange(t, s, 0, 0)
			} else {
				requireRange(t, s, first, last)
			}
			v, err := s.Get([]byte("vote"))
			if term == 0 {
				require.ErrorIs(t, err, errNotFound)
			} else {
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint(term), string(v))
			}
		}
		require.NoError(t, s.close())
	}
}

// Damage is an error, or nothing was lost by it.
func TestStoreDamage(t *testing.T) {
	build := func() vfs.FS {
		fs := newDisk()
		s := openTestStore(t, fs)
		storeSome(t, s, 1, 50)
		require.NoError(t, takeSnapshot(t, s, 20, bytes.Repeat([]byte("0123456789"), 10_000)))
		require.NoError(t, s.db.Flush())
		for i := uint64(51); i <= 100; i++ {
			storeSome(t, s, i, 1)
		}
		require.NoError(t, s.close())
		return fs
	}
	files, err := build().List("/data/raft/store")
	require.NoError(t, err)
	refused := 0
	for _, name := range files {
		if !strings.HasSuffix(name, ".sst") && !strings.HasSuffix(name, ".log") && !strings.HasPrefix(name, "MANIFEST") {
			continue
		}
		for _, part := range []float64{0.1, 0.4, 0.6} {
			fs := build()
			flip(t, fs, "/data/raft/store/"+name, part)
			s, err := tryStore(storeOptions(fs))
			if err == nil {
				// What is not read any more, such as an old log.
				last, rangeErr := s.LastIndex()
				require.Equal(t, uint64(100), last, "%s", name)
				require.NoError(t, errors.Join(rangeErr, s.close()))
				continue
			}
			refused++
			require.ErrorContains(t, err, "open store of consensus in /data/raft")
		}
	}
	require.Positive(t, refused)
}

func flip(t *testing.T, fs vfs.FS, name string, part float64) {
	t.Helper()
	f, err := fs.Open(name)
	require.NoError(t, err)
	data, err := io.ReadAll(f)
	require.NoError(t, errors.Join(err, f.Close()))
	data[int(float64(len(data))*part)] ^= 0x10
	g, err := fs.Create(name, "test")
	require.NoError(t, err)
	_, err = g.Write(data)
	require.NoError(t, errors.Join(err, g.Sync(), g.Close()))
}

// A store whose witness is gone or damaged is not trusted; one place of it is enough.
func TestWitness(t *testing.T) {
	fs := newDisk()
	s := openTestStore(t, fs)
	storeSome(t, s, 1, 5)
	require.NoError(t, s.close())
	flip(t, fs, "/data/raft/witness", 0.001)
	require.NoError(t, openTestStore(t, fs).close())
	flip(t, fs, "/data/raft/witness", 0.999)
	_, err := tryStore(storeOptions(fs))
	require.ErrorIs(t, err, ErrDamaged)
	require.NoError(t, fs.Remove("/data/raft/witness"))
	_, err = tryStore(storeOptions(fs))
	require.ErrorContains(t, err, "witness")

	// And a witness whose store is gone.
	fs = newDisk()
	s = openTestStore(t, fs)
	storeSome(t, s, 1, 5)
	require.NoError(t, s.close())
	require.NoError(t, fs.RemoveAll("/data/raft/store"))
	_, err = tryStore(storeOptions(fs))
	require.ErrorIs(t, err, ErrDamaged)
	for _, bad := range []string{"", witnessMagic, "BAROWIT\x02" + strings.Repeat("x", 16)} {
		_, err = decodeWitness([]byte(bad))
		require.Error(t, err)
	}
}

// Rows that can't be what was written are told from those that are.
func TestStoreNonsense(t *testing.T) {
	for what, spoil := range map[string]func(s *store) error{
		"a gap": func(s *store) error { return s.db.Delete(numberKey(entryKey, 5), nil) },
		"an entry": func(s *store) error {
			return s.db.Set(numberKey(entryKey, 5), []byte{version}, nil)
		},
		"a key":      func(s *store) error { return s.db.Set([]byte{entryKey, 1}, nil, nil) },
		"the start":  func(s *store) error { return s.db.Delete(numberKey(entryKey, 1), nil) },
		"the term":   func(s *store) error { return s.db.Delete(append([]byte{stableKey}, "CurrentTerm"...), nil) },
		"the owner":  func(s *store) error { return s.db.Delete([]byte{aboutKey}, nil) },
		"writes":     func(s *store) error { return s.db.Delete([]byte{writesKey}, nil) },
		"applied":    func(s *store) error { return s.db.Set([]byte{appliedKey}, []byte("1"), nil) },
		"a snapshot": func(s *store) error { return s.db.Set(numberKey(metaKey, 1), []byte{version, 9}, nil) },
	} {
		fs := newDisk()
		s := openTestStore(t, fs)
		storeSome(t, s, 1, 9)
		require.NoError(t, spoil(s))
		require.NoError(t, s.close())
		_, err := tryStore(storeOptions(fs))
		require.ErrorIs(t, err, ErrDamaged, what)
	}
}
