package durable

import (
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

func TestReplace(t *testing.T) {
	fs := vfs.NewCrashableMem()
	_, err := Read(fs, "file", 10)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, Replace(fs, "file", []byte("one")))
	require.NoError(t, Replace(fs, "file", []byte("another")))
	got, err := Read(fs.CrashClone(vfs.CrashCloneCfg{}), "file", 7)
	require.NoError(t, err)
	require.Equal(t, "another", string(got))
	_, err = Read(fs, "file", 6)
	require.Error(t, err)
}
