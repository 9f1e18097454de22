package scratch

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/ruler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAppendAndQuery(t *testing.T) {
	db, err := Open(30 * time.Second)
	require.NoError(t, err)
	ctx := t.Context()
	x, h := labels.FromStrings("__name__", "x", "a", "b"), labels.FromStrings("__name__", "h")
	hist := &histogram.FloatHistogram{
		Count: 2, Sum: 3, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []float64{2},
	}
	require.NoError(t, db.Append(ctx, []ruler.Sample{{Labels: x, Value: 1}, {Labels: h, Histogram: hist}}))
	require.NoError(t, db.Append(ctx, []ruler.Sample{{Labels: x, At: 60_000, Value: 2}}))
	require.NoError(t, db.Append(ctx, []ruler.Sample{{Labels: x, At: 60_000, Value: 2}}), "the same again")
	require.ErrorContains(t, db.Append(ctx, []ruler.Sample{{Labels: x, At: 60_000, Value: 3}}), "duplicate sample for timestamp")
	require.ErrorContains(t, db.Append(ctx, []ruler.Sample{{Labels: x, At: 30_000, Value: 3}}), "out of order sample")

	v, err := db.Query(ctx, "x", 60_000)
	require.NoError(t, err)
	require.Equal(t, promql.Vector{{Metric: x, T: 60_000, F: 2}}, v)
	v, err = db.Query(ctx, "h", 60_000)
	require.NoError(t, err)
	require.Equal(t, hist.TestExpression(), v[0].H.TestExpression())
	v, err = db.Query(ctx, "scalar(count_over_time(x[50s:]))", 60_000)
	require.NoError(t, err)
	require.Equal(t, promql.Vector{{T: 60_000, F: 2}}, v)
	_, err = db.Query(ctx, `"text"`, 0)
	require.ErrorContains(t, err, "not a vector or scalar")
	_, err = db.Query(ctx, "sum(", 0)
	require.Error(t, err)
	require.NoError(t, db.Close())
}
