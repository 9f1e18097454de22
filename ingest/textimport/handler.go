package textimport

import (
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/intake"
	"github.com/barograph-db/barograph/storage/series"
)

// Handler serves imports.
type Handler struct {
	next    ingest.Appender
	in      *intake.Intake
	hash    *ingest.Hasher
	buffers sync.Pool // *[pieceBytes]byte
}

// New returns a Handler that writes to next.
func New(next ingest.Appender, in *intake.Intake) *Handler {
	h := &Handler{next: next, in: in, hash: ingest.NewHasher()}
	h.buffers.New = func() any { return new([pieceBytes]byte) }
	return h
}

// answer is the JSON of an import.
type answer struct {
	Status    string `json:"status"`
	ErrorType string `json:"errorType,omitempty"`
	Error     string `json:"error,omitempty"`
	Data      data   `json:"data"`
}

type data struct {
	Lines     int64      `json:"lines"`
	Samples   int        `json:"samples"`
	Exemplars int        `json:"exemplars"`
	Metadata  int        `json:"metadata"`
	Rejected  []rejected `json:"rejected"`
}

type rejected struct {
	ID        string `json:"id"`
	Message   string `json:"message"`
	Samples   int    `json:"samples,omitempty"`
	Exemplars int    `json:"exemplars,omitempty"`
	Metadata  int    `json:"metadata,omitempty"`
	First     string `json:"first,omitempty"`
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := h.in.Begin("text_import", w, r)
	defer q.End()
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		q.Text(http.StatusMethodNotAllowed, "use POST")
		return
	}
	im := &importer{next: h.next, hash: h.hash, now: time.Now().UnixMilli()}
	err := h.run(q, r, im)
	a := answer{Status: "success", Data: data{
		Lines: im.line, Samples: im.result.Written.Samples, Exemplars: im.result.Written.Exemplars,
		Metadata: im.result.Written.Metadata, Rejected: []rejected{},
	}}
	for _, rej := range im.result.Rejections {
		a.Data.Rejected = append(a.Data.Rejected, rejected{
			ID: rej.Reason.ID(), Message: rej.Reason.Message(), First: rej.First,
			Samples: rej.Counts.Samples, Exemplars: rej.Counts.Exemplars, Metadata: rej.Counts.Metadata,
		})
	}
	status := im.result.Rejections.Status()
	if status != 0 {
		worst, _ := im.result.Rejections.Worst()
		a.Error = worst.String()
	}
	if err != nil { // What was written before stays written; the sender may send it again.
		e := ingest.AsError(err)
		q.Refused(e)
		status, a.Error = e.Reason.Status(), e.Error()
	}
	if status == 0 {
		q.JSON(http.StatusOK, a)
		return
	}
	a.Status, a.ErrorType = "error", errorType(status)
	q.JSON(status, a)
}

func errorType(status int) string {
	switch status {
	case http.StatusServiceUnavailable:
		return "unavailable"
	case http.StatusTooManyRequests:
		return "too_many_requests"
	}
	return "bad_data"
}

func (h *Handler) run(q *intake.Request, r *http.Request, im *importer) (err error) {
	if im.openMetrics, err = isOpenMetrics(r.Header.Get("Content-Type")); err != nil {
		return err
	}
	if err := im.extraLabels(r.URL.Query()["extra_label"]); err != nil {
		return err
	}
	enc, err := q.Encoding(intake.Identity, intake.Gzip, intake.Zstd, intake.Snappy)
	if err != nil {
		return err
	}
	body, err := q.Stream(enc)
	if err != nil {
		return err
	}
	if err := q.Take(importMemory); err != nil {
		return err
	}
	buf := h.buffers.Get().(*[pieceBytes]byte)
	defer h.buffers.Put(buf)
	im.buf = buf[:]
	return im.run(r.Context(), body)
}

// isOpenMetrics tells the formats by content type. What clients say when they say nothing (curl
// calls any data a form) is the text format.
func isOpenMetrics(contentType string) (bool, error) {
	if contentType == "" {
		return false, nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err == nil {
		switch media {
		case "text/plain", "application/x-www-form-urlencoded", "application/octet-stream":
			return false, nil
		case "application/openmetrics-text":
			if v := params["version"]; v == "" || v == "0.0.1" || v == "1.0.0" {
				return true, nil
			}
		}
	}
	return false, ingest.Errorf(ingest.BadContentType, "%q, not text/plain or application/openmetrics-text of version 1.0.0", ingest.Clip(contentType))
}

// extraLabels reads name=value parameters.
func (im *importer) extraLabels(params []string) error {
	var all []byte
	for _, p := range params {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return ingest.Errorf(ingest.BadParameter, "extra_label=%q, not name=value", ingest.Clip(p))
		}
		for _, e := range im.extra {
			if string(e.Name) == name {
				return ingest.Errorf(ingest.BadParameter, "extra_label %q is given twice", ingest.Clip(name))
			}
		}
		im.extra = append(im.extra, series.Pair{Name: []byte(name), Value: []byte(value)})
		all = series.AppendPair(all, name, value)
	}
	im.extraKey = im.hash.Sum(all)
	return nil
}
