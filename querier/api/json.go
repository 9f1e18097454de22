package api

import (
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/barograph-db/barograph/storage/series"
)

// plain marks the bytes that stand for themselves in a JSON string. HTML's own characters are
// escaped as encoding/json does, in case a page ever puts an answer where it should not.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = true
	}
	for _, c := range `"\<>&` {
		t[c] = false
	}
	return t
}()

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), `\ufffd`...)
				from = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// appendLabels appends ls as an object.
func appendLabels(dst []byte, ls labels.Labels) []byte {
	dst = append(dst, '{')
	first := true
	ls.Range(func(l labels.Label) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, l.Name)
		dst = append(dst, ':')
		dst = appendString(dst, l.Value)
	})
	return append(dst, '}')
}

// appendLabelBytes is appendLabels for the storage's form of labels.
func appendLabelBytes(dst []byte, ls series.Labels) []byte {
	dst = append(dst, '{')
	first := true
	for name, value := range ls.All() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = appendString(dst, value)
	}
	return append(dst, '}')
}

func appendHistogramPoint(dst []byte, t int64, h *histogram.FloatHistogram) []byte {
	dst = appendTime(append(dst, '['), t)
	return append(appendHistogram(append(dst, ','), h), ']')
}

// appendHistogram appends h as {count, sum, buckets: [[boundaries, lower, upper, count]...]}
// without its empty buckets.
func appendHistogram(dst []byte, h *histogram.FloatHistogram) []byte {
	dst = appendFloat(append(dst, `{"count":`...), h.Count)
	dst = appendFloat(append(dst, `,"sum":`...), h.Sum)
	next := `,"buckets":[`
	for it := h.AllBucketIterator(); it.Next(); {
		b := it.At()
		if b.Count == 0 {
			continue
		}
		dst = append(append(append(dst, next...), '['), '0'+boundaries(b.LowerInclusive, b.UpperInclusive))
		dst = appendFloat(append(dst, ','), b.Lower)
		dst = appendFloat(append(dst, ','), b.Upper)
		dst = append(appendFloat(append(dst, ','), b.Count), ']')
		next = ","
	}
	if next == "," {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// boundaries says which ends belong to a bucket: 0 (lower,upper], 1 [lower,upper), 2 neither,
// 3 both.
func boundaries(lower, upper bool) byte {
	switch {
	case lower && upper:
		return 3
	case lower:
		return 1
	case upper:
		return 0
	}
	return 2
}

func appendSample(dst []byte, s *promql.Sample) []byte {
	dst = appendLabels(append(dst, `{"metric":`...), s.Metric)
	if s.H != nil {
		return append(appendHistogramPoint(append(dst, `,"histogram":`...), s.T, s.H), '}')
	}
	return append(appendPoint(append(dst, `,"value":`...), s.T, s.F), '}')
}
