package cluster

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/placement"
)

func openTestRegister(t testing.TB, fs vfs.FS) *register {
	t.Helper()
	r, err := openRegister(fs, "data", func(err error) { t.Error(err) })
	require.NoError(t, err)
	return r
}

func testFS(t testing.TB) *vfs.MemFS {
	fs := vfs.NewCrashableMem()
	require.NoError(t, fs.MkdirAll("data", 0o755))
	dir, err := fs.OpenDir("/")
	require.NoError(t, err)
	require.NoError(t, dir.Sync())
	require.NoError(t, dir.Close())
	return fs
}

func twoSteps(t testing.TB) (first, second *placement.Placement) {
	first, err := placement.Found(4, 2, []placement.Node{node(1), node(2)})
	require.NoError(t, err)
	second, err = first.Join(node(3))
	require.NoError(t, err)
	return first, second
}

func TestRegisterTakesStepsInOrder(t *testing.T) {
	first, second := twoSteps(t)
	r := openTestRegister(t, testFS(t))
	require.Equal(t, answerOutdated, r.Apply(agreed{regionA, second}.encode()), "nothing is founded")
	require.Equal(t, answerTaken, r.Apply(agreed{regionA, first}.encode()))
	require.Equal(t, answerOutdated, r.Apply(agreed{regionB, first}.encode()), "it is founded")
	require.Equal(t, answerOutdated, r.Apply(agreed{regionB, second}.encode()), "another region's")
	require.Equal(t, answerTaken, r.Apply(agreed{regionA, second}.encode()))
	require.Equal(t, answerOutdated, r.Apply(agreed{regionA, second}.encode()), "twice")
	require.Equal(t, answerBad, r.Apply([]byte{registerVersion, 1}))
	require.Equal(t, second, r.get().placement)
	<-r.changed
}

func TestRegisterRestores(t *testing.T) {
	first, second := twoSteps(t)
	old := openTestRegister(t, testFS(t))
	empty, err := old.Snapshot()
	require.NoError(t, err)
	require.NoError(t, old.Restore(empty))
	require.Nil(t, old.get().placement)
	old.Apply(agreed{regionA, first}.encode())
	snapshot, err := old.Snapshot()
	require.NoError(t, err)

	fs := testFS(t)
	r := openTestRegister(t, fs)
	require.NoError(t, r.Restore(snapshot))
	require.Equal(t, first, r.get().placement)
	r.Apply(agreed{regionA, second}.encode())
	require.NoError(t, r.Restore(snapshot))
	require.Equal(t, second, r.get().placement, "an older snapshot takes nothing back")
	require.Error(t, r.Restore(snapshot[:len(snapshot)-1]))

	// After a crash, the node knows what it knew.
	again := openTestRegister(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	require.Equal(t, agreed{regionA, second}, again.get())
}

func TestRegisterWithDamagedFile(t *testing.T) {
	first, _ := twoSteps(t)
	fs := testFS(t)
	openTestRegister(t, fs).Apply(agreed{regionA, first}.encode())
	data, err := readFile(fs, "data/placement", maxRegister)
	require.NoError(t, err)
	for _, damaged := range [][]byte{nil, data[:3], data[:len(data)-1], append([]byte{data[0] ^ 1}, data[1:]...)} {
		require.NoError(t, writeFile(fs, "data/placement", damaged))
		told := 0
		r, err := openRegister(fs, "data", func(error) { told++ })
		require.NoError(t, err)
		require.Nil(t, r.get().placement)
		require.Equal(t, 1, told)
	}
}

func TestIdentityIsKept(t *testing.T) {
	fs := testFS(t)
	id, err := Identity(fs, "data")
	require.NoError(t, err)
	require.NotZero(t, id)
	again, err := Identity(fs.CrashClone(vfs.CrashCloneCfg{}), "data")
	require.NoError(t, err)
	require.Equal(t, id, again)
	for _, text := range []string{"", "x", "00000000-0000-0000-0000-000000000000\n", string(make([]byte, 100))} {
		require.NoError(t, writeFile(fs, "data/node-id", []byte(text)))
		_, err := Identity(fs, "data")
		require.Error(t, err)
	}
}

func FuzzDecodeAgreed(f *testing.F) {
	first, second := twoSteps(f)
	f.Add(agreed{regionA, first}.encode())
	f.Add(agreed{regionB, second}.encode())
	f.Add([]byte{registerVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := decodeAgreed(data)
		if err != nil {
			return
		}
		again, err := decodeAgreed(a.encode())
		require.NoError(t, err)
		require.Equal(t, a, again)
	})
}
