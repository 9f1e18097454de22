package api

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"
)

// What repeats is looked for, and what does not is only coded.
func TestHowAnswersAreCompressed(t *testing.T) {
	points := func(value func(i int) float64) promql.Matrix {
		m := promql.Matrix{{Metric: labels.FromStrings("a", "b")}}
		for i := range 1000 {
			m[0].Floats = append(m[0].Floats, promql.FPoint{T: int64(i), F: value(i)})
		}
		return m
	}
	for name, c := range map[string]struct {
		matrix promql.Matrix
		want   any
	}{
		"ever new":      {points(func(i int) float64 { return 1 / float64(i+3) }), coding},
		"ever the same": {points(func(int) float64 { return 7 }), copying},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Accept-Encoding", "gzip")
			b := newBody(httptest.NewRecorder(), r, http.StatusOK, jsonType)
			encodeMatrix(b, c.matrix)
			b.send(true)
			require.Same(t, c.want, b.zipper)
			require.NoError(t, b.close())
		})
	}
}
