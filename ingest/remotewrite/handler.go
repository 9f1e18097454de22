package remotewrite

import (
	"mime"
	"net/http"
	"strconv"
	"sync"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/intake"
)

// Handler serves POST requests of both versions.
type Handler struct {
	next     ingest.Appender
	in       *intake.Intake
	seen     seen
	decoders sync.Pool
}

// New returns a Handler that writes to next.
func New(next ingest.Appender, in *intake.Intake) *Handler {
	h := &Handler{next: next, in: in}
	hash := hashers{v1: ingest.NewHasher(), v2: ingest.NewHasher()}
	h.decoders.New = func() any { return &decoder{hash: hash, seen: &h.seen} }
	return h
}

// The message of each version, as the content type names it.
const (
	mediaType = "application/x-protobuf"
	message1  = "prometheus.WriteRequest"
	message2  = "io.prometheus.write.v2.Request"
)

// The counts that an answer to 2.0 carries.
const (
	samplesWritten    = "X-Prometheus-Remote-Write-Samples-Written"
	histogramsWritten = "X-Prometheus-Remote-Write-Histograms-Written"
	exemplarsWritten  = "X-Prometheus-Remote-Write-Exemplars-Written"
)

// messageVersion reads a content type; none at all is 1.0's, and so is one that names no message.
func messageVersion(contentType string) (version, error) {
	if contentType == "" {
		return v1, nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err == nil && media == mediaType {
		switch params["proto"] {
		case "", message1:
			return v1, nil
		case message2:
			return v2, nil
		}
	}
	return 0, ingest.Errorf(ingest.BadContentType, "%q, not %s of %s or %s", ingest.Clip(contentType), mediaType, message1, message2)
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v, err := messageVersion(r.Header.Get("Content-Type"))
	protocol := "remote_write"
	if err == nil {
		protocol = "remote_write_" + strconv.Itoa(int(v))
	}
	q := h.in.Begin(protocol, w, r)
	defer q.End()
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		q.Text(http.StatusMethodNotAllowed, "use POST")
		return
	}
	if err != nil {
		q.Fail(err)
		return
	}
	if v == v2 {
		setWritten(w.Header(), ingest.Counts{})
	}
	res, err := h.store(q, r, v)
	if err != nil {
		q.Fail(err)
		return
	}
	if v == v2 {
		// What an elected replica of the pair has stored counts: Prometheus takes an answer that counts nothing
		// as a failure.
		res.Written.Add(res.Deduplicated)
		setWritten(w.Header(), res.Written)
	}
	if status := res.Rejections.Status(); status != 0 {
		q.Text(status, res.Rejections.String())
		return
	}
	q.NoContent()
}

func (h *Handler) store(q *intake.Request, r *http.Request, v version) (ingest.Result, error) {
	enc, err := q.Encoding(intake.Snappy, intake.Zstd)
	if err != nil {
		return ingest.Result{}, err
	}
	body, err := q.Body(enc)
	if err != nil {
		return ingest.Result{}, err
	}
	d := h.decoders.Get().(*decoder)
	defer func() {
		d.take = nil
		if d.reset(); d.small() {
			h.decoders.Put(d)
		}
	}()
	limits := h.in.Limits().Options()
	d.buckets, d.take, d.most = limits.HistogramBuckets, q.Take, limits.DecodedBytes
	if err := d.decode(v, body); err != nil {
		d.seen.unmark(d.marks)
		return ingest.Result{}, err
	}
	res, err := h.next.Append(r.Context(), &d.batch)
	if err != nil {
		d.seen.unmark(d.marks)
	}
	return res, err
}

func setWritten(h http.Header, c ingest.Counts) {
	h.Set(samplesWritten, strconv.Itoa(c.Samples))
	h.Set(histogramsWritten, strconv.Itoa(c.Histograms))
	h.Set(exemplarsWritten, strconv.Itoa(c.Exemplars))
}
