package intake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/limit"
)

// What decoders of streams take beside the pieces they return.
const (
	zstdWindow = 8 << 20 // frames that need more are refused
	gzipMemory = 64 << 10
	s2Memory   = 256 << 10
)

func (q *Request) zstd(r io.Reader) (*zstd.Decoder, error) {
	if err := q.hold.Grow(zstdWindow); err != nil {
		return nil, err
	}
	d, _ := q.in.zstds.Get().(*zstd.Decoder)
	if d == nil {
		var err error
		// One at a time: no goroutines, so that a decoder may be dropped without Close.
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow)); err != nil {
			return nil, fmt.Errorf("make zstd decoder: %w", err)
		}
	}
	q.closer = func() {
		if d.Reset(nil) == nil {
			q.in.zstds.Put(d)
		}
	}
	if err := d.Reset(r); err != nil {
		return nil, &ingest.Error{Reason: ingest.BadCompression, Err: err}
	}
	return d, nil
}

// zstdBlock decompresses a whole body.
func (q *Request) zstdBlock(raw []byte) ([]byte, error) {
	d, err := q.zstd(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	most := q.in.limits.Options().DecodedBytes
	decoded, err := q.readAll(1, d, 0, most+1)
	if errors.Is(err, errTooMuch) {
		return nil, q.decodedTooLarge(limit.Decoded, most)
	}
	if err != nil {
		if _, ok := errors.AsType[*ingest.Error](err); ok {
			return nil, err
		}
		return nil, &ingest.Error{Reason: ingest.BadCompression, Err: err}
	}
	return decoded, nil
}

// Stream returns the body decompressed piece by piece. Its errors are ingest's.
func (q *Request) Stream(enc Encoding) (io.Reader, error) {
	o := q.in.limits.Options()
	if q.r.ContentLength > o.ImportBytes && o.ImportBytes > 0 {
		q.in.limits.Refused(limit.Import)
		return nil, ingest.Errorf(ingest.BodyTooLarge, "%d bytes, the limit is %d", q.r.ContentLength, o.ImportBytes)
	}
	raw := &source{q: q, ctl: http.NewResponseController(q.w), wait: o.BodyTime, r: q.r.Body}
	if o.ImportBytes > 0 {
		raw.r = http.MaxBytesReader(q.w, q.r.Body, o.ImportBytes)
	}
	decoded, err := q.decoder(enc, raw)
	if err != nil {
		return nil, err
	}
	return &bounded{q: q, r: decoded, raw: raw, most: o.ImportBytes}, nil
}

func (q *Request) decoder(enc Encoding, raw *source) (io.Reader, error) {
	switch enc {
	case Zstd:
		return q.zstd(raw)
	case Gzip:
		if err := q.hold.Grow(gzipMemory); err != nil {
			return nil, err
		}
		return &lazyGzip{q: q, raw: raw}, nil
	case Snappy:
		if err := q.hold.Grow(s2Memory); err != nil {
			return nil, err
		}
		return q.snappyStream(raw)
	}
	return raw, nil
}

// streamMagic begins snappy's framed format.
const streamMagic = "\xff\x06\x00\x00sNaPpY"

// snappyStream tells the framed format, which streams, from a single block, which does not and so
// must keep the limits of a body.
func (q *Request) snappyStream(raw *source) (io.Reader, error) {
	br := bufio.NewReader(raw)
	head, err := br.Peek(len(streamMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, q.bodyError(raw.err, limit.Import)
	}
	if string(head) == streamMagic {
		return s2.NewReader(br, s2.ReaderMaxBlockSize(64<<10)), nil
	}
	most := q.in.limits.Options().BodyBytes
	block, err := q.readAll(0, br, 0, most+1)
	if errors.Is(err, errTooMuch) {
		q.in.limits.Refused(limit.Body)
		return nil, ingest.Errorf(ingest.BodyTooLarge, "a snappy block has %d bytes at most; use the framed format", most)
	}
	if err != nil {
		return nil, q.bodyError(err, limit.Import)
	}
	decoded, err := q.snappyBlock(block)
	if err != nil {
		return nil, err
	}
	return bytes.NewReader(decoded), nil
}

// lazyGzip reads the header with the first bytes, so that its errors come where reading errors do.
type lazyGzip struct {
	q   *Request
	raw io.Reader
	z   *gzip.Reader
}

func (g *lazyGzip) Read(p []byte) (int, error) {
	if g.z == nil {
		z, _ := g.q.in.gzips.Get().(*gzip.Reader)
		if z == nil {
			z = new(gzip.Reader)
		}
		g.q.closer = func() { g.q.in.gzips.Put(z) }
		if err := z.Reset(g.raw); err != nil {
			return 0, err
		}
		g.z = z
	}
	return g.z.Read(p)
}

// source reads the body as it was sent; every piece has its time to arrive.
type source struct {
	q    *Request
	ctl  *http.ResponseController
	wait time.Duration
	r    io.Reader
	err  error // the first other than io.EOF
}

func (s *source) Read(p []byte) (int, error) {
	_ = s.ctl.SetReadDeadline(time.Now().Add(s.wait)) // Not every ResponseWriter has deadlines.
	n, err := s.r.Read(p)
	_ = s.ctl.SetReadDeadline(time.Time{})
	s.q.in.metrics.received(s.q.protocol, n)
	if err != nil && err != io.EOF && s.err == nil {
		s.err = err
	}
	return n, err
}

// bounded ends a decoded stream at the limit and tells a bad body from one that did not arrive.
type bounded struct {
	q    *Request
	r    io.Reader
	raw  *source
	n    int64
	most int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	b.q.in.metrics.decoded(b.q.protocol, n)
	if b.most > 0 && b.n > b.most {
		return 0, b.q.decodedTooLarge(limit.Import, b.most)
	}
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case b.raw.err != nil:
		return n, b.q.bodyError(b.raw.err, limit.Import)
	}
	return n, &ingest.Error{Reason: ingest.BadCompression, Err: err}
}
