package series

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
)

func TestLabels(t *testing.T) {
	ls := labels.FromStrings("__name__", "up", "job", "a", "z", strings.Repeat("long", 100))
	l := FromLabels(nil, ls)
	require.NoError(t, l.Validate())
	require.Equal(t, 3, l.Len())
	require.Equal(t, "a", string(l.Get("job")))
	require.Nil(t, l.Get("nobody"))
	b := labels.NewScratchBuilder(0)
	require.Equal(t, ls, l.Labels(&b))
	require.Equal(t, ls.String(), l.String())
	require.NoError(t, Labels(nil).Validate())
	require.Zero(t, Labels(nil).Len())
}

func TestFromPairs(t *testing.T) {
	pair := func(name, value string) Pair { return Pair{[]byte(name), []byte(value)} }
	l, err := FromPairs(nil, []Pair{pair("z", "1"), pair("empty", ""), pair("a", "2")})
	require.NoError(t, err)
	require.Equal(t, FromStrings("a", "2", "z", "1"), l)
	_, err = FromPairs(nil, []Pair{pair("z", "1"), pair("a", "2"), pair("z", "")})
	require.ErrorContains(t, err, `"z" is given twice`)
}

// TestFingerprint holds values that are on disks: they may never change.
func TestFingerprint(t *testing.T) {
	require.Equal(t, Fingerprint(0xef46db3751d8e999), Labels(nil).Fingerprint())
	require.Equal(t, Labels("\x08__name__\x02up\x03job\x04node"), FromStrings("__name__", "up", "job", "node"))
	require.Equal(t, Fingerprint(0x169f7118f8936ba5), FromStrings("__name__", "up", "job", "node").Fingerprint())
}

func TestValidate(t *testing.T) {
	for name, l := range map[string]Labels{
		"cut short":   FromStrings("a", "b")[:3],
		"no value":    Labels("\x01a"),
		"empty value": Labels("\x01a\x00"),
		"empty name":  Labels("\x00\x01a"),
		"twice":       append(FromStrings("a", "b"), FromStrings("a", "c")...),
		"unsorted":    append(FromStrings("b", "b"), FromStrings("a", "c")...),
		"long length": Labels("\x81\x00a\x01b"),
		"huge":        Labels("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a"),
	} {
		t.Run(name, func(t *testing.T) { require.ErrorIs(t, l.Validate(), errLabels) })
	}
}

func FuzzLabels(f *testing.F) {
	f.Add([]byte(FromStrings("__name__", "up", "job", strings.Repeat("x", 200))))
	f.Add([]byte("\x80\x00\x01a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := Labels(b)
		var again Labels
		for name, value := range l.All() {
			again = AppendPair(again, name, value)
		}
		require.LessOrEqual(t, l.Len(), len(b)/2)
		l.Get("a")
		if l.Validate() == nil {
			require.True(t, bytes.Equal(b, again))
		}
	})
}

func BenchmarkFingerprint(b *testing.B) {
	l := FromStrings("__name__", "node_cpu_seconds_total", "cpu", "1", "instance", "10.0.0.1:9100", "job", "node", "mode", "idle")
	for b.Loop() {
		l.Fingerprint()
	}
}
