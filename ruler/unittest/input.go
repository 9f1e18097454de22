package unittest

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/barograph-db/barograph/ruler"
)

// maxValues bounds the values of a series, which a few letters can make very many.
const maxValues = 1_000_000

// input is the series of a test, whose samples are loaded in the order of time.
type input struct {
	series [][]ruler.Sample // each with those that are not loaded yet
}

// newInput reads series in the notation of promql's tests. Of two with the same labels the last counts.
func newInput(all []Series, p parser.Parser, start int64, interval time.Duration) (*input, error) {
	in := &input{}
	at := map[string]int{}
	var buf [1024]byte
	for _, s := range all {
		ls, samples, err := readSeries(s, p, start, interval)
		if err != nil {
			return nil, fmt.Errorf("input series %q: %w", s.Series, err)
		}
		key := string(ls.Bytes(buf[:]))
		if i, there := at[key]; there {
			in.series[i] = samples
			continue
		}
		at[key] = len(in.series)
		in.series = append(in.series, samples)
	}
	return in, nil
}

func readSeries(s Series, p parser.Parser, start int64, interval time.Duration) (labels.Labels, []ruler.Sample, error) {
	if err := checkRepeats(s.Values); err != nil {
		return labels.EmptyLabels(), nil, err
	}
	ls, values, err := p.ParseSeriesDesc(strings.TrimSpace(s.Series) + " " + strings.TrimSpace(s.Values))
	if err != nil {
		return ls, nil, err
	}
	samples := make([]ruler.Sample, 0, len(values))
	for i, v := range values {
		if !v.Omitted {
			samples = append(samples, ruler.Sample{
				Labels: ls, At: start + int64(i)*interval.Milliseconds(), Value: v.Value, Histogram: v.Histogram,
			})
		}
	}
	return ls, samples, nil
}

var repeats = regexp.MustCompile(`x\s*([0-9]+)`)

// checkRepeats says whether there would be too many values, before they are made.
func checkRepeats(values string) error {
	total := 0
	for _, m := range repeats.FindAllStringSubmatch(values, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > maxValues {
			n = maxValues + 1
		}
		if total += n; total > maxValues {
			return fmt.Errorf("more than %d values", maxValues)
		}
	}
	return nil
}

// till takes the samples up to a time, those of each series in order.
func (in *input) till(t int64) (out []ruler.Sample) {
	for i, s := range in.series {
		n, _ := slices.BinarySearchFunc(s, t+1, func(s ruler.Sample, t int64) int { return cmp.Compare(s.At, t) })
		out = append(out, s[:n]...)
		in.series[i] = s[n:]
	}
	return out
}
