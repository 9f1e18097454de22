package intake

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/limit"
)

func begin(t testing.TB, o limit.Options, body io.Reader, length int64) (*Request, *httptest.ResponseRecorder) {
	t.Helper()
	limits, err := limit.New(o, nil)
	require.NoError(t, err)
	r := httptest.NewRequest("POST", "/", body)
	r.ContentLength = length
	w := httptest.NewRecorder()
	q := New(limits, nil).Begin("test", w, r)
	t.Cleanup(q.End)
	return q, w
}

func TestBodyOfAnySize(t *testing.T) {
	const most = 300 << 10
	for _, n := range []int{0, 1, firstBuffer - 1, firstBuffer, firstBuffer + 1, 200 << 10, most - 1, most, most + 1} {
		for _, length := range []int64{int64(n), -1} {
			want := bytes.Repeat([]byte("abcdefg"), n/7+1)[:n]
			q, _ := begin(t, limit.Options{BodyBytes: most}, bytes.NewReader(want), length)
			got, err := q.Body(Identity)
			if n > most {
				require.Equal(t, ingest.BodyTooLarge, ingest.AsError(err).Reason)
				continue
			}
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got), "%d %d", n, length)
		}
	}
}

// TestBufferIsNotTakenOnAPromise announces a large body and sends a small one.
func TestBufferIsNotTakenOnAPromise(t *testing.T) {
	q, _ := begin(t, limit.Options{}, io.MultiReader(strings.NewReader("x"), errReader{}), 30<<20)
	_, err := q.Body(Identity)
	require.Equal(t, ingest.BodyIncomplete, ingest.AsError(err).Reason)
	require.LessOrEqual(t, cap(*q.lent[0]), firstBuffer)
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("reset") }

func TestCompressedBodies(t *testing.T) {
	const most = 100 << 10
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	for _, n := range []int{0, 1, firstBuffer + 1, most, most + 1} {
		plain := bytes.Repeat([]byte("abcdefg"), n/7+1)[:n]
		for enc, body := range map[Encoding][]byte{Snappy: s2.EncodeSnappy(nil, plain), Zstd: z.EncodeAll(plain, []byte{})} {
			q, _ := begin(t, limit.Options{DecodedBytes: most}, bytes.NewReader(body), int64(len(body)))
			got, err := q.Body(enc)
			if n > most {
				require.Equal(t, ingest.DecodedTooLarge, ingest.AsError(err).Reason, enc)
				continue
			}
			require.NoError(t, err, "%s %d", enc, n)
			require.True(t, bytes.Equal(plain, got))
		}
	}
}

// TestSnappyGain holds the most that a block can gain against the encoder's best.
func TestSnappyGain(t *testing.T) {
	for _, n := range []int{1, 10, 100, 1 << 10, 1 << 16, 1 << 20, 10 << 20} {
		packed := s2.EncodeSnappyBest(nil, make([]byte, n))
		require.LessOrEqual(t, n, snappyGain*len(packed), n)
	}
}

func TestRetryAfter(t *testing.T) {
	q, w := begin(t, limit.Options{}, nil, 0)
	q.Fail(&ingest.Error{Reason: ingest.InFlightFull, RetryAfter: 2500 * time.Millisecond})
	require.Equal(t, 503, w.Code)
	require.Equal(t, "3", w.Header().Get("Retry-After"))
	q, w = begin(t, limit.Options{}, nil, 0)
	q.Fail(errors.New("disk"))
	require.Equal(t, 503, w.Code)
	require.Contains(t, []string{"1", "2", "3", "4", "5"}, w.Header().Get("Retry-After"))
	q, w = begin(t, limit.Options{}, nil, 0)
	q.Fail(ingest.Errorf(ingest.TooOld, "x"))
	require.Equal(t, 400, w.Code)
	require.Empty(t, w.Header().Get("Retry-After"))
}

func FuzzBody(f *testing.F) {
	z, err := zstd.NewWriter(nil)
	require.NoError(f, err)
	f.Add(s2.EncodeSnappy(nil, []byte("hello hello hello")), uint8(0))
	f.Add(z.EncodeAll([]byte("hello hello hello"), nil), uint8(1))
	f.Add([]byte(streamMagic), uint8(2))
	f.Fuzz(func(t *testing.T, body []byte, which uint8) {
		q, _ := begin(t, limit.Options{DecodedBytes: 1 << 20, ImportBytes: 1 << 20, BodyBytes: 1 << 20}, bytes.NewReader(body), int64(len(body)))
		encodings := []Encoding{Snappy, Zstd, Gzip, Identity}
		enc := encodings[int(which)%len(encodings)]
		if which&0x80 == 0 && enc != Gzip {
			got, err := q.Body(enc)
			require.True(t, err == nil || errors.As(err, new(*ingest.Error)))
			require.LessOrEqual(t, len(got), 1<<20)
			return
		}
		r, err := q.Stream(enc)
		if err == nil {
			var n int64
			n, err = io.Copy(io.Discard, r)
			require.LessOrEqual(t, n, int64(1<<20))
		}
		require.True(t, err == nil || errors.As(err, new(*ingest.Error)))
	})
}
