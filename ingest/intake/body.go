package intake

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/limit"
)

// Encoding is a Content-Encoding.
type Encoding string

// The encodings that are understood, each by some handlers.
const (
	Identity Encoding = "identity"
	Snappy   Encoding = "snappy"
	Gzip     Encoding = "gzip"
	Zstd     Encoding = "zstd"
)

// Encoding returns the request's Content-Encoding if it is among those allowed; none given is the
// first of them.
func (q *Request) Encoding(allowed ...Encoding) (Encoding, error) {
	values := q.r.Header.Values("Content-Encoding")
	given := strings.ToLower(strings.TrimSpace(strings.Join(values, ",")))
	if given == "" {
		return allowed[0], nil
	}
	if given == "x-gzip" {
		given = string(Gzip)
	}
	for _, a := range allowed {
		if given == string(a) {
			return a, nil
		}
	}
	return "", ingest.Errorf(ingest.BadContentEncoding, "%q", ingest.Clip(given))
}

// Body reads the whole body and decompresses it. What it returns holds until End.
func (q *Request) Body(enc Encoding) ([]byte, error) {
	raw, err := q.raw()
	if err != nil {
		return nil, err
	}
	q.in.metrics.received(q.protocol, len(raw))
	var decoded []byte
	switch enc {
	case Snappy:
		decoded, err = q.snappyBlock(raw)
	case Zstd:
		decoded, err = q.zstdBlock(raw)
	default:
		decoded = raw
	}
	if err != nil {
		return nil, err
	}
	q.in.metrics.decoded(q.protocol, len(decoded))
	return decoded, nil
}

// raw reads the body as it was sent.
func (q *Request) raw() ([]byte, error) {
	o := q.in.limits.Options()
	if q.r.ContentLength > o.BodyBytes {
		q.in.limits.Refused(limit.Body)
		return nil, ingest.Errorf(ingest.BodyTooLarge, "%d bytes, the limit is %d", q.r.ContentLength, o.BodyBytes)
	}
	ctl := http.NewResponseController(q.w)
	_ = ctl.SetReadDeadline(q.begin.Add(o.BodyTime)) // Not every ResponseWriter has deadlines.
	body := http.MaxBytesReader(q.w, q.r.Body, o.BodyBytes)
	raw, err := q.readAll(0, body, q.r.ContentLength+1, o.BodyBytes+1)
	if err != nil {
		return nil, q.bodyError(err, limit.Body)
	}
	_ = ctl.SetReadDeadline(time.Time{})
	return raw, nil
}

const firstBuffer = 64 << 10

// lend returns the request's buffer, of at least size bytes, which count as in flight. What it held
// is kept.
func (q *Request) lend(which int, size int64) (*[]byte, error) {
	b := q.lent[which]
	if b == nil {
		b = q.in.buffers.Get().(*[]byte)
		*b = (*b)[:0]
		if err := q.hold.Grow(int64(cap(*b))); err != nil {
			q.in.buffers.Put(b)
			return nil, err
		}
		q.lent[which] = b
	}
	if more := size - int64(cap(*b)); more > 0 {
		if err := q.hold.Grow(more); err != nil {
			return nil, err
		}
		grown := make([]byte, len(*b), size)
		copy(grown, *b)
		*b = grown
	}
	return b, nil
}

// readAll reads r into a lent buffer that doubles as the bytes come, straight to the expected size
// when that is near, and never beyond most.
func (q *Request) readAll(which int, r io.Reader, expected, most int64) ([]byte, error) {
	b, err := q.lend(which, min(firstBuffer, most))
	if err != nil {
		return nil, err
	}
	for {
		if len(*b) == cap(*b) {
			size := 2 * int64(cap(*b))
			if expected > int64(cap(*b)) {
				size = min(size, expected)
			}
			if b, err = q.lend(which, min(size, most)); err != nil {
				return nil, err
			}
			if len(*b) == cap(*b) {
				return nil, errTooMuch
			}
		}
		n, err := r.Read((*b)[len(*b):cap(*b)])
		*b = (*b)[:len(*b)+n]
		switch {
		case err == io.EOF:
			return *b, nil
		case err != nil:
			return nil, err
		}
	}
}

var errTooMuch = errors.New("more than the limit")

// snappyGain is the most bytes that one byte of a snappy block stands for: a copy takes three and
// yields 64.
const snappyGain = 22

func (q *Request) snappyBlock(raw []byte) ([]byte, error) {
	n, err := s2.DecodedLen(raw)
	if err != nil {
		return nil, &ingest.Error{Reason: ingest.BadCompression, Err: err}
	}
	if n > snappyGain*len(raw) {
		return nil, ingest.Errorf(ingest.BadCompression, "a snappy block of %d bytes can't hold the %d it claims", len(raw), n)
	}
	if most := q.in.limits.Options().DecodedBytes; int64(n) > most {
		return nil, q.decodedTooLarge(limit.Decoded, most)
	}
	b, err := q.lend(1, int64(n))
	if err != nil {
		return nil, err
	}
	decoded, err := s2.Decode((*b)[:n], raw)
	if err != nil {
		return nil, &ingest.Error{Reason: ingest.BadCompression, Err: err}
	}
	return decoded, nil
}

func (q *Request) decodedTooLarge(key limit.Key, most int64) error {
	q.in.limits.Refused(key)
	return ingest.Errorf(ingest.DecodedTooLarge, "the limit is %d bytes", most)
}
