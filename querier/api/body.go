package api

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

const (
	jsonType = "application/json"

	// spillBytes of an answer are held; what exceeds them is sent.
	spillBytes = 64 << 10
	// zipBytes is the least that is worth compressing: less fits one packet anyway.
	zipBytes = 1400
	// sendTimeout is how long a client may take over each spillBytes, or over a frame of a stream.
	sendTimeout = time.Minute
	// keepBytes is the largest buffer that goes back to the pool.
	keepBytes = 1 << 20
)

// body is an answer on its way out. Encoders append to buf and call spill now and then.
type body struct {
	buf    []byte
	times  *pointTimes
	w      http.ResponseWriter
	status int
	typ    string // Content-Type
	zip    bool
	zipper *sync.Pool   // where gz is from
	gz     *gzip.Writer // once the header is out, if the answer is compressed
	fresh  int          // bytes of buf that are points of another value than the one before
	sent   bool         // the header is out
	err    error
}

var (
	bodies = sync.Pool{New: func() any { return &body{buf: make([]byte, 0, spillBytes+4<<10), times: new(pointTimes)} }}
	// Answers are short-lived and links are fast, so all is done quickly: the library's first level.
	// Digits that are ever new, however, have few copies to look for; they are only written in
	// Huffman's code, in a quarter to a half of the time and about one and a half times the bytes (twice
	// for short numbers).
	copying = newZippers(gzip.BestSpeed)
	coding  = newZippers(gzip.HuffmanOnly)
)

func newZippers(level int) *sync.Pool {
	return &sync.Pool{New: func() any {
		z, _ := gzip.NewWriterLevel(nil, level)
		return z
	}}
}

// newBody begins an answer; typ is its Content-Type.
func newBody(w http.ResponseWriter, r *http.Request, status int, typ string) *body {
	b := bodies.Get().(*body)
	*b = body{buf: b.buf[:0], times: b.times, w: w, status: status, typ: typ, zip: acceptsGzip(r.Header.Get("Accept-Encoding"))}
	return b
}

// spill sends what is held when that is much. It reports whether going on makes sense.
func (b *body) spill() bool {
	if len(b.buf) >= spillBytes {
		b.send(false)
	}
	return b.err == nil
}

// Write is for encoders that want a writer.
func (b *body) Write(p []byte) (int, error) {
	b.buf = append(b.buf, p...)
	b.spill()
	return len(p), b.err
}

// close sends the rest and gives the body back; it may not be used afterwards.
func (b *body) close() error {
	b.send(true)
	if b.gz != nil {
		if err := b.gz.Close(); b.err == nil {
			b.err = err
		}
	}
	err := b.err
	b.discard()
	return err
}

// discard gives the body back without sending what it holds.
func (b *body) discard() {
	if b.gz != nil {
		b.gz.Reset(nil)
		b.zipper.Put(b.gz)
	}
	*b = body{buf: b.buf, times: b.times}
	if cap(b.buf) <= keepBytes {
		bodies.Put(b)
	}
}

// send writes what is held. last says that nothing follows.
func (b *body) send(last bool) {
	if !b.sent {
		b.header(last)
	}
	if b.err == nil && len(b.buf) > 0 {
		hurry(b.w)
		if b.gz != nil {
			_, b.err = b.gz.Write(b.buf)
		} else {
			_, b.err = b.w.Write(b.buf)
		}
	}
	b.buf = b.buf[:0]
}

// hurry gives a client some time to take what is written next: an answer holds memory of the
// query until its last byte is out. Where the connection has no deadlines nothing happens.
func hurry(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTimeout))
}

func (b *body) header(last bool) {
	b.sent = true
	h := b.w.Header()
	h.Set("Content-Type", b.typ)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Accept-Encoding")
	switch {
	case b.zip && len(b.buf) >= zipBytes:
		h.Set("Content-Encoding", "gzip")
		b.zipper = copying
		if b.fresh > len(b.buf)/2 {
			b.zipper = coding
		}
		b.gz = b.zipper.Get().(*gzip.Writer)
		b.gz.Reset(b.w)
	case last:
		h.Set("Content-Length", strconv.Itoa(len(b.buf)))
	}
	b.w.WriteHeader(b.status)
}

// acceptsGzip reads an Accept-Encoding header.
func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(coding, ";")
		if name = strings.TrimSpace(name); name != "*" && !strings.EqualFold(name, "gzip") {
			continue
		}
		weight, given := strings.CutPrefix(strings.TrimSpace(params), "q=")
		if !given {
			return true
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
		return err == nil && q > 0
	}
	return false
}
