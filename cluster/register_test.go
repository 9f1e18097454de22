package cluster

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster/durable"
	"github.com/barograph-db/barograph/cluster/placement"
)

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
	r := newRegister()
	apply := func(a agreed) int { return int(r.Apply(a.encode())[0]) }
	require.Equal(t, answerOutdated, apply(agreed{regionA, second}), "nothing is founded")
	require.Equal(t, answerTaken, apply(agreed{regionA, first}))
	require.Equal(t, answerOutdated, apply(agreed{regionB, first}), "it is founded")
	require.Equal(t, answerOutdated, apply(agreed{regionB, second}), "another region's")
	require.Equal(t, answerTaken, apply(agreed{regionA, second}))
	require.Equal(t, answerOutdated, apply(agreed{regionA, second}), "twice")
	require.Equal(t, []byte{answerBad}, r.Apply([]byte{registerVersion, 1}))
	require.Equal(t, second, r.get().placement)
	<-r.changed
}

func TestRegisterRestores(t *testing.T) {
	first, _ := twoSteps(t)
	r := newRegister()
	empty, err := r.Snapshot()
	require.NoError(t, err)
	require.Empty(t, empty)
	r.Apply(agreed{regionA, first}.encode())
	snapshot, err := r.Snapshot()
	require.NoError(t, err)

	other := newRegister()
	require.NoError(t, other.Restore(snapshot))
	require.Equal(t, agreed{regionA, first}, other.get())
	require.Error(t, other.Restore(snapshot[:len(snapshot)-1]))
	require.Equal(t, agreed{regionA, first}, other.get(), "half a snapshot changes nothing")
	require.NoError(t, other.Restore(empty))
	require.Equal(t, agreed{}, other.get())
}

// What newer software has written is told apart from what makes no sense.
func TestRegisterReads(t *testing.T) {
	first, _ := twoSteps(t)
	r := newRegister()
	command := agreed{regionA, first}.encode()
	require.NoError(t, r.Reads(command))
	require.NoError(t, r.Reads(command[:5]), "it is answered that it is bad, on all nodes alike")
	for _, at := range []int{0, registerHeader} {
		newer := slices.Clone(command)
		newer[at]++
		require.ErrorContains(t, r.Reads(newer), "unknown version 2, not 1")
	}
}

func TestIdentityIsKept(t *testing.T) {
	fs := testFS(t)
	id, made, err := Identity(fs, "data")
	require.NoError(t, err)
	require.True(t, made)
	require.NotZero(t, id)
	again, made, err := Identity(fs.CrashClone(vfs.CrashCloneCfg{}), "data")
	require.NoError(t, err)
	require.False(t, made)
	require.Equal(t, id, again)
	for _, text := range []string{"", "x", "00000000-0000-0000-0000-000000000000\n", string(make([]byte, 100))} {
		require.NoError(t, durable.Replace(fs, "data/node-id", []byte(text)))
		_, _, err := Identity(fs, "data")
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
