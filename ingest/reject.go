package ingest

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// Rejection is what was refused for one reason.
type Rejection struct {
	Reason Reason
	Counts Counts
	// Series counts series without samples that were refused.
	Series int
	// First describes the first of them.
	First string
}

// Rejections are at most one per reason, in the order of their first appearance.
type Rejections []Rejection

// maxDetail bounds the description of a rejection; label values come from the sender.
const maxDetail = 300

// Add counts c under the reason. detail is called for the first of a reason only.
func (rs *Rejections) Add(r Reason, c Counts, detail func() string) {
	for i := range *rs {
		if rej := &(*rs)[i]; rej.Reason == r {
			rej.count(c)
			return
		}
	}
	rej := Rejection{Reason: r, First: Clip(detail())}
	rej.count(c)
	*rs = append(*rs, rej)
}

func (r *Rejection) count(c Counts) {
	r.Counts.Add(c)
	if c.Total() == 0 {
		r.Series++
	}
}

// Merge adds all of o.
func (rs *Rejections) Merge(o Rejections) {
	for _, r := range o {
		if i := rs.index(r.Reason); i >= 0 {
			(*rs)[i].Counts.Add(r.Counts)
			(*rs)[i].Series += r.Series
		} else {
			*rs = append(*rs, r)
		}
	}
}

func (rs Rejections) index(r Reason) int {
	for i := range rs {
		if rs[i].Reason == r {
			return i
		}
	}
	return -1
}

// Worst returns the rejection of the highest class; ok is false when there is none.
func (rs Rejections) Worst() (r Rejection, ok bool) {
	for _, c := range rs {
		if !ok || c.Reason.Class() > r.Reason.Class() {
			r, ok = c, true
		}
	}
	return r, ok
}

// Status is the HTTP status of a request of which these parts were refused and the rest written;
// 0 when it is a success.
func (rs Rejections) Status() int {
	worst, ok := rs.Worst()
	if !ok {
		return 0
	}
	switch worst.Reason.Class() {
	case Dropped:
		return 0
	case Limited:
		return http.StatusTooManyRequests
	case Passing:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// String prints one line per reason.
func (rs Rejections) String() string {
	var b strings.Builder
	for i, r := range rs {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(r.String())
	}
	return b.String()
}

// String prints the id, how much was refused, and the first case.
func (r Rejection) String() string {
	s := fmt.Sprintf("%s: %s: refused", r.Reason.ID(), r.Reason.Message())
	sep := " "
	for _, part := range []struct {
		n    int
		noun string
	}{
		{r.Counts.Samples, "samples"},
		{r.Counts.Histograms, "histograms"},
		{r.Counts.Exemplars, "exemplars"},
		{r.Counts.Metadata, "metadata"},
		{r.Series, "series"},
	} {
		if part.n > 0 {
			s += fmt.Sprintf("%s%d %s", sep, part.n, part.noun)
			sep = ", "
		}
	}
	if r.First != "" {
		s += "; first: " + r.First
	}
	return s
}

// Clip shortens s to what an error may carry, and makes it valid UTF-8.
func Clip(s string) string {
	if len(s) > maxDetail {
		cut := maxDetail
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
