package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/common/model"

	"github.com/barograph-db/barograph/querier/explain"
)

// printValue prints an answer as an aligned table, as CSV, or as the JSON it came in.
func printValue(w io.Writer, v model.Value, format string) error {
	if format == "json" {
		return printJSON(w, answer{ResultType: v.Type().String(), Result: v})
	}
	rows, err := table(v)
	if err != nil {
		return err
	}
	if format == "csv" {
		cw := csv.NewWriter(w)
		return cw.WriteAll(rows)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, row := range rows {
		if i == 0 {
			for j := range row {
				row[j] = strings.ToUpper(row[j])
			}
		}
		for j := range row {
			row[j] = clean.Replace(row[j])
		}
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return tw.Flush()
}

// answer is the data of a query's answer.
type answer struct {
	ResultType string               `json:"resultType"`
	Result     model.Value          `json:"result"`
	Explain    *explain.Explanation `json:"explain,omitempty"`
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// clean keeps label values from breaking the table's lines, or the terminal.
var clean = strings.NewReplacer("\t", `\t`, "\n", `\n`, "\r", `\r`, "\x1b", `\x1b`)

// table has a header and then one row for each sample: the labels, the time, the value.
func table(v model.Value) ([][]string, error) {
	switch v := v.(type) {
	case *model.Scalar:
		return [][]string{{"time", "value"}, {timeText(v.Timestamp), v.Value.String()}}, nil
	case *model.String:
		return [][]string{{"time", "value"}, {timeText(v.Timestamp), v.Value}}, nil
	case model.Vector:
		t := newTable(len(v), func(i int) model.Metric { return v[i].Metric })
		for _, s := range v {
			t.add(s.Metric, s.Timestamp, sampleText(s.Value, s.Histogram))
		}
		return t.rows, nil
	case model.Matrix:
		t := newTable(len(v), func(i int) model.Metric { return v[i].Metric })
		for _, s := range v {
			for _, p := range s.Values {
				t.add(s.Metric, p.Timestamp, p.Value.String())
			}
			for _, p := range s.Histograms {
				t.add(s.Metric, p.Timestamp, p.Histogram.String())
			}
		}
		return t.rows, nil
	}
	return nil, fmt.Errorf("print answer: unknown type %q", v.Type())
}

func sampleText(v model.SampleValue, h *model.SampleHistogram) string {
	if h != nil {
		return h.String()
	}
	return v.String()
}

func timeText(t model.Time) string { return t.Time().UTC().Format(time.RFC3339Nano) }

// tableRows collects rows under one column for each label that occurs.
type tableRows struct {
	names []model.LabelName
	rows  [][]string
}

func newTable(n int, metric func(int) model.Metric) *tableRows {
	t := &tableRows{}
	seen := map[model.LabelName]bool{}
	for i := range n {
		for name := range metric(i) {
			if !seen[name] {
				seen[name] = true
				t.names = append(t.names, name)
			}
		}
	}
	slices.Sort(t.names)
	header := make([]string, 0, len(t.names)+2)
	for _, name := range t.names {
		if name == model.MetricNameLabel {
			name = "metric"
		}
		header = append(header, string(name))
	}
	t.rows = append(t.rows, append(header, "time", "value"))
	return t
}

func (t *tableRows) add(m model.Metric, at model.Time, value string) {
	row := make([]string, 0, len(t.names)+2)
	for _, name := range t.names {
		row = append(row, string(m[name]))
	}
	t.rows = append(t.rows, append(row, timeText(at), value))
}
