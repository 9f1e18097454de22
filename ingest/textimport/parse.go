package textimport

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/value"

	"github.com/barograph-db/barograph/storage/series"
)

var (
	errAfterEOF   = errors.New("there is data after # EOF")
	errUTF8       = errors.New("text is not valid UTF-8")
	errTwoNames   = errors.New("the metric name is given twice")
	errNoName     = errors.New("a line must begin with a metric name, a brace or #")
	errNoValue    = errors.New("no value after the series")
	errBraces     = errors.New("a brace or a quote is not closed")
	errLabel      = errors.New(`labels are not of the form name="value", parted by commas`)
	errRest       = errors.New("more than a value and a timestamp")
	errComment    = errors.New("OpenMetrics knows no comment but HELP, TYPE, UNIT and EOF")
	errNoFamily   = errors.New("no metric name in the comment")
	errSpace      = errors.New("OpenMetrics wants single spaces")
	errNoExemplar = errors.New("an exemplar must have labels in braces and a value")
)

func isNameByte(c byte, first, colon bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		return true
	case c == ':':
		return colon
	}
	return !first && c >= '0' && c <= '9'
}

// name is how many bytes of b are an unquoted name.
func nameLen(b []byte, colon bool) int {
	i := 0
	for i < len(b) && isNameByte(b[i], i == 0, colon) {
		i++
	}
	return i
}

// metricName returns the unquoted metric name that text begins with, nil if none, and its end.
func metricName(text []byte) (name []byte, end int) {
	if n := nameLen(text, true); n > 0 {
		return text[:n], n
	}
	return nil, 0
}

func spaces(b []byte) int {
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i
}

// quotedLen is how many bytes of b are a quoted string, both quotes included; 0 if it does not end.
func quotedLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// seriesEnd finds where the series that line begins with ends: its name, and its labels in braces
// if any. What is between the braces is looked at only when the series is not known.
func seriesEnd(line []byte, openMetrics bool) (int, error) {
	_, end := metricName(line)
	if end == 0 && (len(line) == 0 || line[0] != '{') {
		return 0, errNoName
	}
	open := end
	if !openMetrics {
		open += spaces(line[end:])
	}
	if open == len(line) || line[open] != '{' {
		if end == len(line) || line[end] != ' ' && (openMetrics || line[end] != '\t') {
			return 0, errNoValue
		}
		return end, nil
	}
	n := bracesLen(line[open:])
	if n == 0 {
		return 0, errBraces
	}
	return open + n, nil
}

// bracesLen is how many bytes of b are in braces, both included; 0 if they do not end.
func bracesLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '}':
			return i + 1
		case '"':
			n := quotedLen(b[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		}
	}
	return 0
}

// appendLabels reads labels in braces; none at all is fine. A quoted string alone is the metric
// name, and goes to name if that is not nil.
func appendLabels(dst []series.Pair, b []byte, openMetrics bool, name *[]byte) ([]series.Pair, error) {
	if len(b) == 0 {
		return dst, nil
	}
	p := labelScanner{b: b[1 : len(b)-1], strict: openMetrics}
	for p.skip(); len(p.b) > 0; p.skip() {
		label, quoted, err := p.name()
		if err != nil {
			return dst, err
		}
		p.skip()
		if quoted && name != nil && (len(p.b) == 0 || p.b[0] == ',') {
			if *name != nil {
				return dst, errTwoNames
			}
			*name = append([]byte{}, label...)
		} else {
			v, err := p.value()
			if err != nil {
				return dst, err
			}
			dst = append(dst, series.Pair{Name: label, Value: v})
		}
		p.skip()
		if len(p.b) > 0 {
			if p.b[0] != ',' {
				return dst, errLabel
			}
			p.b = p.b[1:]
		}
	}
	return dst, nil
}

// labelScanner cuts tokens off the text between braces.
type labelScanner struct {
	b      []byte
	strict bool
}

func (p *labelScanner) skip() {
	if !p.strict {
		p.b = p.b[spaces(p.b):]
	}
}

func (p *labelScanner) name() (name []byte, quoted bool, err error) {
	if p.b[0] == '"' {
		name, err = p.quoted()
		return name, true, err
	}
	n := nameLen(p.b, false)
	if n == 0 {
		return nil, false, errLabel
	}
	name, p.b = p.b[:n], p.b[n:]
	return name, false, nil
}

func (p *labelScanner) value() ([]byte, error) {
	if len(p.b) == 0 || p.b[0] != '=' {
		return nil, errLabel
	}
	p.b = p.b[1:]
	p.skip()
	if len(p.b) == 0 || p.b[0] != '"' {
		return nil, errLabel
	}
	v, err := p.quoted()
	if err == nil && !utf8.Valid(v) {
		err = errUTF8
	}
	return v, err
}

func (p *labelScanner) quoted() ([]byte, error) {
	n := quotedLen(p.b)
	if n == 0 {
		return nil, errLabel
	}
	s := p.b[1 : n-1]
	p.b = p.b[n:]
	if bytes.IndexByte(s, '\\') >= 0 {
		s = []byte(unescapeValue.Replace(string(s)))
	}
	return s, nil
}

// sample is what follows a series.
type sample struct {
	v             float64
	t             int64
	timed         bool
	exemplar      []byte // its labels, in braces
	exemplarV     float64
	exemplarT     int64
	exemplarTimed bool
}

// parseSample reads a value, a timestamp if any, and in OpenMetrics an exemplar if any.
func parseSample(b []byte, openMetrics bool) (s sample, err error) {
	tok, b, err := token(b, openMetrics)
	if err != nil {
		return s, err
	}
	if len(tok) == 0 {
		return s, errNoValue
	}
	if s.v, err = parseValue(tok); err != nil {
		return s, err
	}
	if !openMetrics {
		if tok, b, err = token(b, false); err != nil || len(tok) == 0 {
			return s, err
		}
		s.timed = true
		if s.t, err = milliseconds(tok); err != nil {
			return s, err
		}
		if len(b[spaces(b):]) > 0 {
			return s, errRest
		}
		return s, nil
	}
	if len(b) > 0 && !bytes.HasPrefix(b, []byte(" # {")) {
		if tok, b, err = token(b, true); err != nil {
			return s, err
		}
		s.timed = true
		if s.t, err = seconds(tok); err != nil {
			return s, err
		}
	}
	if len(b) == 0 {
		return s, nil
	}
	return s, s.parseExemplar(b)
}

// parseExemplar reads " # {labels} value timestamp".
func (s *sample) parseExemplar(b []byte) error {
	const begin = " # "
	if !bytes.HasPrefix(b, []byte(begin+"{")) {
		return errRest
	}
	b = b[len(begin):]
	n := bracesLen(b)
	if n == 0 {
		return errBraces
	}
	s.exemplar = b[:n]
	tok, b, err := token(b[n:], true)
	if err != nil || len(tok) == 0 {
		return errNoExemplar
	}
	if s.exemplarV, err = parseValue(tok); err != nil {
		return err
	}
	if len(b) == 0 {
		return nil
	}
	if tok, b, err = token(b, true); err != nil {
		return err
	}
	if len(b) > 0 {
		return errRest
	}
	s.exemplarTimed = true
	s.exemplarT, err = seconds(tok)
	return err
}

// token cuts the next word off b: after exactly one space in OpenMetrics, after any in text.
func token(b []byte, openMetrics bool) (tok, rest []byte, err error) {
	if openMetrics {
		if len(b) == 0 || b[0] != ' ' {
			return nil, b, errSpace
		}
		b = b[1:]
		n := bytes.IndexByte(b, ' ')
		if n < 0 {
			n = len(b)
		}
		if n == 0 {
			return nil, b, errSpace
		}
		return b[:n], b[n:], nil
	}
	b = b[spaces(b):]
	n := bytes.IndexAny(b, " \t")
	if n < 0 {
		n = len(b)
	}
	return b[:n], b[n:], nil
}

func parseFloat(b []byte) (float64, error) {
	if bytes.ContainsAny(b, "pP_") {
		return 0, fmt.Errorf("%q is no number", clip(b))
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", clip(b))
	}
	return f, nil
}

// parseValue is parseFloat with the one NaN that is no stale marker.
func parseValue(b []byte) (float64, error) {
	f, err := parseFloat(b)
	if math.IsNaN(f) {
		f = math.Float64frombits(value.NormalNaN)
	}
	return f, err
}

func milliseconds(b []byte) (int64, error) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%q is no timestamp in milliseconds", clip(b))
		}
	}
	t, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no timestamp in milliseconds", clip(b))
	}
	return t, nil
}

func clip(b []byte) []byte { return b[:min(len(b), 64)] }

// parseComment reads a line that begins with #. word is empty for a comment that says nothing.
func parseComment(line []byte, openMetrics bool) (word string, name, text []byte, err error) {
	rest := line[1:]
	if openMetrics {
		if string(rest) == " EOF" {
			return "EOF", nil, nil, nil
		}
		for _, w := range []string{"HELP", "TYPE", "UNIT"} {
			if after, ok := bytes.CutPrefix(rest, []byte(" "+w+" ")); ok {
				name, text, err = familyAndText(after, true)
				return w, name, text, err
			}
		}
		return "", nil, nil, errComment
	}
	n := spaces(rest)
	if n == 0 {
		return "", nil, nil, nil
	}
	for _, w := range []string{"HELP", "TYPE"} {
		if after, ok := bytes.CutPrefix(rest[n:], []byte(w)); ok && spaces(after) > 0 {
			name, text, err = familyAndText(after[spaces(after):], false)
			return w, name, text, err
		}
	}
	return "", nil, nil, nil
}

// familyAndText parts a metric name, which may be quoted, from what is said of it.
func familyAndText(b []byte, openMetrics bool) (name, text []byte, err error) {
	n := nameLen(b, true)
	if n == 0 && len(b) > 0 && b[0] == '"' {
		n = quotedLen(b)
	}
	if n == 0 {
		return nil, nil, errNoFamily
	}
	name, text = b[:n], b[n:]
	if name[0] == '"' {
		name = name[1 : n-1]
	}
	if openMetrics {
		if len(text) == 0 || text[0] != ' ' {
			return nil, nil, errSpace
		}
		return name, text[1:], nil
	}
	skip := spaces(text)
	if skip == 0 && len(text) > 0 {
		return nil, nil, errNoFamily
	}
	return name, text[skip:], nil
}

// metricType reads the word after TYPE.
func metricType(text []byte, openMetrics bool) (model.MetricType, error) {
	switch t := model.MetricType(strings.TrimSpace(string(clip(text)))); t {
	case model.MetricTypeCounter, model.MetricTypeGauge, model.MetricTypeHistogram, model.MetricTypeSummary:
		return t, nil
	case "untyped":
		if !openMetrics {
			return model.MetricTypeUnknown, nil
		}
	case model.MetricTypeGaugeHistogram, model.MetricTypeInfo, model.MetricTypeStateset, model.MetricTypeUnknown:
		if openMetrics {
			return t, nil
		}
	}
	return "", fmt.Errorf("%q is no metric type", clip(text))
}
