package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/barograph-db/barograph/querier/explain"
	"github.com/barograph-db/barograph/storage/frame"
)

// maxAnnotations of each sort are sent, and then how many more there are.
const maxAnnotations = 10

// answer is what a handler returns when it did not fail.
type answer struct {
	// data is nil for 204 No Content, an encoder, or anything encoding/json takes.
	data     any
	warnings annotations.Annotations
	// query lets warnings say where in it they arose.
	query string
	// done is called when the data was written, nil is nothing to do.
	done func()
}

// encoder is data that appends its own JSON, for answers that may be large.
type encoder interface{ encode(b *body) }

// errTruncated is worded as clients know it.
var errTruncated = errors.New("results truncated due to limit")

// write writes the envelope of a success around a's data. An error of it comes before the
// first byte was sent.
func (a answer) write(b *body) error {
	b.buf = append(b.buf, `{"status":"success","data":`...)
	if e, ok := a.data.(encoder); ok {
		e.encode(b)
	} else {
		data, err := json.Marshal(a.data)
		if err != nil {
			return fmt.Errorf("encode answer: %w", err)
		}
		b.buf = append(b.buf, data...)
	}
	if len(a.warnings) > 0 {
		warnings, infos := a.warnings.AsStrings(a.query, maxAnnotations, maxAnnotations)
		b.buf = appendNotes(b.buf, "warnings", warnings)
		b.buf = appendNotes(b.buf, "infos", infos)
	}
	b.buf = append(b.buf, '}')
	return nil
}

func appendNotes(dst []byte, name string, notes []string) []byte {
	if len(notes) == 0 {
		return dst
	}
	dst = append(append(append(dst, `,"`...), name...), `":[`...)
	for i, s := range notes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// writeError writes the envelope of an error.
func writeError(b *body, k kind, err error) {
	b.buf = append(append(b.buf, `{"status":"error","errorType":"`...), kinds[k].errorType...)
	b.buf = append(appendString(append(b.buf, `","error":`...), err.Error()), '}')
}

// list writes the elements of an array.
func list[T any](b *body, elems []T, appendElem func([]byte, T) []byte) {
	b.buf = append(b.buf, '[')
	for i, e := range elems {
		if i > 0 {
			b.buf = append(b.buf, ',')
		}
		b.buf = appendElem(b.buf, e)
		if !b.spill() {
			return
		}
	}
	b.buf = append(b.buf, ']')
}

type stringList []string

func (l stringList) encode(b *body) { list(b, l, appendString) }

type labelSets []labels.Labels

func (l labelSets) encode(b *body) { list(b, l, appendLabels) }

// exemplars are those of one series.
type exemplars struct {
	series labels.Labels
	list   []frame.Exemplar
}

type exemplarList []exemplars

func (l exemplarList) encode(b *body) { list(b, l, appendExemplars) }

func appendExemplars(dst []byte, s exemplars) []byte {
	dst = appendLabels(append(dst, `{"seriesLabels":`...), s.series)
	dst = append(dst, `,"exemplars":[`...)
	for i, e := range s.list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLabelBytes(append(dst, `{"labels":`...), e.Labels)
		dst = appendFloat(append(dst, `,"value":`...), e.V)
		dst = append(appendTime(append(dst, `,"timestamp":`...), e.T), '}')
	}
	return append(dst, "]}"...)
}

// queryData is the result of a query.
type queryData struct {
	value       parser.Value
	stats       stats.QueryStats
	explanation *explain.Explanation
}

func (d queryData) encode(b *body) {
	b.buf = append(append(b.buf, `{"resultType":"`...), d.value.Type()...)
	b.buf = append(b.buf, `","result":`...)
	switch v := d.value.(type) {
	case promql.Vector:
		encodeVector(b, v)
	case promql.Matrix:
		encodeMatrix(b, v)
	case promql.Scalar:
		b.buf = appendScalar(b.buf, v)
	case promql.String:
		b.buf = append(appendString(append(appendShortTime(append(b.buf, '['), v.T), ','), v.V), ']')
	default:
		panic(fmt.Sprintf("query result of type %T", v))
	}
	if d.stats != nil {
		// The statistics are numbers of the engine: there is no value of them that does not encode.
		if data, err := json.Marshal(d.stats.Builtin()); err == nil {
			b.buf = append(append(b.buf, `,"stats":`...), data...)
		}
	}
	if d.explanation != nil { // It encodes as well.
		if data, err := json.Marshal(d.explanation); err == nil {
			b.buf = append(append(b.buf, `,"explain":`...), data...)
		}
	}
	b.buf = append(b.buf, '}')
}

// appendScalar differs from appendPoint in that a scalar never has an exponent.
func appendScalar(dst []byte, s promql.Scalar) []byte {
	dst = append(appendShortTime(append(dst, '['), s.T), ',', '"')
	return append(strconv.AppendFloat(dst, s.V, 'f', -1, 64), '"', ']')
}

// appendShortTime is the time of scalars and strings, which have only the decimals they need.
func appendShortTime(dst []byte, t int64) []byte {
	return strconv.AppendFloat(dst, float64(t)/1000, 'f', -1, 64)
}

func encodeVector(b *body, v promql.Vector) {
	b.buf = append(b.buf, '[')
	for i := range v {
		if i > 0 {
			b.buf = append(b.buf, ',')
		}
		b.buf = appendSample(b.buf, &v[i])
		if !b.spill() {
			return
		}
	}
	b.buf = append(b.buf, ']')
}

func encodeMatrix(b *body, m promql.Matrix) {
	b.buf = append(b.buf, '[')
	for i := range m {
		if i > 0 {
			b.buf = append(b.buf, ',')
		}
		if !encodeSeries(b, &m[i]) {
			return
		}
	}
	b.buf = append(b.buf, ']')
}

// encodeSeries writes one series; the points are many, so that it spills between them. It reports
// whether going on makes sense.
func encodeSeries(b *body, s *promql.Series) bool {
	b.buf = appendLabels(append(b.buf, `{"metric":`...), s.Metric)
	if len(s.Floats) > 0 {
		next, last := `,"values":[`, math.NaN()
		for _, p := range s.Floats {
			from := len(b.buf)
			b.buf = b.times.appendPoint(append(b.buf, next...), p.T, p.F)
			if p.F != last {
				b.fresh += len(b.buf) - from
			}
			next, last = ",", p.F
			if !b.spill() {
				return false
			}
		}
		b.buf = append(b.buf, ']')
	}
	if len(s.Histograms) > 0 {
		next := `,"histograms":[`
		for _, p := range s.Histograms {
			b.buf = appendHistogramPoint(append(b.buf, next...), p.T, p.H)
			next = ","
			if !b.spill() {
				return false
			}
		}
		b.buf = append(b.buf, ']')
	}
	b.buf = append(b.buf, '}')
	return true
}
