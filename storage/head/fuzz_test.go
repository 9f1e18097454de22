package head_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/head"
	"github.com/barograph-db/barograph/storage/series"
)

// Whatever a record holds, loading it ends with a head that can be used.
func FuzzLoadCheckpoint(f *testing.F) {
	h := head.New(options())
	src := newSource(f, h, 1, 10)
	for range 30 {
		h.Append(src.frame(20, model{}))
	}
	h.Append(&frame.Frame{
		Exemplars: []frame.Exemplar{exemplar(src.refs[0], 1, "a")},
		Metadata:  []frame.Metadata{{Metric: "m", Help: "help"}},
	})
	for _, r := range records(f, h) {
		f.Add(r)
	}
	f.Add([]byte{1, 2, 0, 1, 0, 2, 2, 1, 0, 2, 1, 0})
	f.Fuzz(func(t *testing.T, record []byte) {
		h := head.New(options())
		err := h.LoadCheckpoint(record, nil)
		_, dumpErr := head.DumpRecord(record)
		if err != nil {
			return
		}
		require.NoError(t, dumpErr)
		h.Append(floats(series.MakeRef(0, 1), 5000, 1, series.MakeRef(1, 1), 10, 1))
		_, err = h.Select(everything())
		require.NoError(t, err)
		require.NoError(t, h.LoadCheckpoint(record, nil))
		require.NoError(t, h.Checkpoint(func([]byte) error { return nil }))
		h.StartFlush(2000).Done()
		h.StartFlush(1 << 62).Done()
		h.GC()
		h.GC()
	})
}
