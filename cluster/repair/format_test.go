package repair

import (
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/storage/series"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func someState() *state {
	return &state{
		Version: 1,
		Gaps: []Gap{
			{From: 1, To: 2},
			{From: 1_700_006_400_000, To: 1_700_092_799_999, Forgot: true, Parts: []string{"raw/2023-11-15T00:00Z/7"}},
		},
		Compared: []compared{{First: 19_676, Last: 19_700, At: 1_702_200_000_000}, {First: 19_701, Last: 19_701, At: 1_702_220_000_000}},
	}
}

func someQuestion() Question {
	return Question{Shards: setOf(3, []series.Shard{0, 1, 6}), Mint: -1000, Maxt: 14_399_000, Slot: slotMillis}
}

func someAnswer() answer {
	digests := make([]series.Digest, 6)
	digests[1] = series.Digest{Sum: 0x0123456789abcdef, Samples: 300}
	digests[5] = series.Digest{Sum: 1, Samples: 1}
	return answer{forgot: true, digests: digests}
}

func someLoss() Loss { return Loss{From: -5, To: 1_700_000_000_000, Number: 0xfedcba9876543210} }

func TestGoldenFile(t *testing.T) {
	const name = "testdata/v1/repair.json"
	got := someState().encode()
	if *update {
		require.NoError(t, os.MkdirAll("testdata/v1", 0o755))
		require.NoError(t, os.WriteFile(name, got, 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
	decoded, err := decodeState(want)
	require.NoError(t, err)
	require.Equal(t, someState(), decoded)
}

func TestGoldenMessages(t *testing.T) {
	const name = "testdata/v1/messages.txt"
	q, a := someQuestion(), someAnswer()
	got := strings.Join([]string{
		"question " + hex.EncodeToString(q.encode()), "answer " + hex.EncodeToString(a.encode()),
		"loss " + hex.EncodeToString(someLoss().encode()), "none " + hex.EncodeToString(noLoss()), "",
	}, "\n")
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(got), 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(want), got)

	question, err := decodeQuestion(q.encode())
	require.NoError(t, err)
	require.Equal(t, q, question)
	require.Equal(t, 3, question.slots(), "the last is short")
	told, err := decodeAnswer(a.encode(), 6)
	require.NoError(t, err)
	require.Equal(t, a, told)
	_, err = decodeAnswer(a.encode(), 7)
	require.ErrorIs(t, err, errMessage)
	l, some, err := decodeLoss(someLoss().encode())
	require.NoError(t, err)
	require.True(t, some)
	require.Equal(t, someLoss(), l)
	_, some, err = decodeLoss(noLoss())
	require.NoError(t, err)
	require.False(t, some)
}

func TestLoad(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("data", 0o755))
	r := &Repairer{opts: Options{FS: fs, Dir: "data"}}
	s, err := r.load()
	require.NoError(t, err)
	require.Equal(t, &state{Version: 1}, s)
	for _, text := range []string{
		"", "{}", `{"version":2}`, `{"version":1,"more":1}`, `{"version":1,"gaps":[{"from":2,"to":1}]}`,
		`{"version":1,"compared":[{"first":2,"last":1}]}`, `{"version":1,"compared":[{"first":1,"last":2},{"first":2,"last":2}]}`,
	} {
		_, err := decodeState([]byte(text))
		require.Error(t, err, text)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	q := Question{Shards: setOf(16, []series.Shard{1}), Maxt: dayMillis, Slot: 1}
	_, err := decodeQuestion(q.encode())
	require.ErrorContains(t, err, "more than")
	full := Question{Shards: &series.ShardSet{Bits: 16}, Maxt: 1, Slot: 1}
	for n := range 1 << 16 {
		full.Shards.Add(series.Shard(n))
	}
	b := full.encode()
	require.Less(t, len(b), MaxMessage)
	_, err = decodeQuestion(b)
	require.NoError(t, err)
	a := answer{digests: make([]series.Digest, maxCells)}
	for i := range a.digests {
		a.digests[i] = series.Digest{Sum: 1 << 63, Samples: 1 << 62}
	}
	require.Less(t, len(a.encode()), MaxMessage)
}

func FuzzQuestion(f *testing.F) {
	q := someQuestion()
	f.Add(q.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := decodeQuestion(b)
		if err != nil {
			return
		}
		again, err := decodeQuestion(q.encode())
		require.NoError(t, err)
		require.Equal(t, q, again)
	})
}

func FuzzAnswer(f *testing.F) {
	a := someAnswer()
	f.Add(a.encode(), uint32(6))
	f.Fuzz(func(t *testing.T, b []byte, cells uint32) {
		a, err := decodeAnswer(b, int(cells%(maxCells+1)))
		if err != nil {
			return
		}
		again, err := decodeAnswer(a.encode(), len(a.digests))
		require.NoError(t, err)
		require.Equal(t, a, again)
	})
}

func FuzzLoss(f *testing.F) {
	f.Add(someLoss().encode())
	f.Add(noLoss())
	f.Fuzz(func(t *testing.T, b []byte) {
		l, some, err := decodeLoss(b)
		if err != nil || !some {
			return
		}
		again, some, err := decodeLoss(l.encode())
		require.NoError(t, err)
		require.True(t, some)
		require.Equal(t, l, again)
	})
}

func FuzzState(f *testing.F) {
	f.Add(someState().encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeState(b)
		if err != nil {
			return
		}
		_, err = decodeState(s.encode())
		require.NoError(t, err)
	})
}
