package unittest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"
)

// maxBytes bounds a test file.
const maxBytes = 16 << 20

// File is a test file.
type File struct {
	RuleFiles          []string       `yaml:"rule_files"` // paths or globs, relative to the file
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	// GroupEvalOrder names groups that are evaluated in this order; all others come with the first.
	GroupEvalOrder []string `yaml:"group_eval_order"`
	Tests          []Test   `yaml:"tests"`
	// FuzzyCompare lets values differ by the least that floats can.
	FuzzyCompare bool `yaml:"fuzzy_compare"`
}

// Test is some series, and what is to come of them.
type Test struct {
	Name           string         `yaml:"name"`
	Interval       model.Duration `yaml:"interval"` // between the values of the series
	InputSeries    []Series       `yaml:"input_series"`
	Alerts         []AlertTest    `yaml:"alert_rule_test"`
	Exprs          []ExprTest     `yaml:"promql_expr_test"`
	ExternalLabels labels.Labels  `yaml:"external_labels"`
	ExternalURL    string         `yaml:"external_url"`
	Start          Start          `yaml:"start_timestamp"`
}

// Series in the notation of promql's tests, as "1+1x5 _ stale".
type Series struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

// AlertTest says which alerts of a name fire at a time, and no others.
type AlertTest struct {
	EvalTime  model.Duration `yaml:"eval_time"`
	Alertname string         `yaml:"alertname"`
	Expected  []Alert        `yaml:"exp_alerts"`
}

// Alert is one that is expected; alertname is not among the labels.
type Alert struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

// ExprTest says what an expression comes to at a time.
type ExprTest struct {
	Expr     string         `yaml:"expr"`
	EvalTime model.Duration `yaml:"eval_time"`
	Expected []Sample       `yaml:"exp_samples"`
}

// Sample is one that is expected: a value, or a histogram in the notation of promql's tests.
type Sample struct {
	Labels    string  `yaml:"labels"`
	Value     float64 `yaml:"value"`
	Histogram string  `yaml:"histogram"`
}

// Start is when a test begins: RFC 3339 or seconds since 1970, which is the default.
type Start struct{ time.Time }

// UnmarshalYAML reads a time.
func (s *Start) UnmarshalYAML(node *yaml.Node) error {
	var text string
	if err := node.Decode(&text); err != nil {
		return err
	}
	t, err := parseTime(text)
	s.Time = t
	return err
}

// Parse reads a test file. What is not known in it is an error.
func Parse(data []byte) (*File, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("%d bytes, and %d are allowed", len(data), maxBytes)
	}
	f := &File{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(f); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if f.EvaluationInterval == 0 {
		f.EvaluationInterval = model.Duration(time.Minute)
	}
	seen := map[string]bool{}
	for _, g := range f.GroupEvalOrder {
		if seen[g] {
			return nil, fmt.Errorf("group name repeated in evaluation order: %s", g)
		}
		seen[g] = true
	}
	for i := range f.Tests {
		t := &f.Tests[i]
		if t.Interval == 0 {
			t.Interval = f.EvaluationInterval
		}
		for _, a := range t.Alerts {
			if a.Alertname == "" {
				return nil, fmt.Errorf("test %q: an item under alert_rule_test at %s has no alertname", t.title(i), a.EvalTime)
			}
		}
	}
	return f, nil
}

// title is the test's name, or its number where it has none.
func (t *Test) title(i int) string {
	if t.Name == "" {
		return fmt.Sprintf("unnamed#%d", i)
	}
	return t.Name
}

func parseTime(text string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(seconds) < 1e12 {
		return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("start_timestamp: %q is neither RFC 3339 nor seconds since 1970", text)
	}
	return t, nil
}

// read reads the test file of a path.
func read(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	return Parse(data)
}

// ruleFiles are the paths that the file's globs match, and the globs that match none.
func (f *File) ruleFiles(dir string) (paths, none []string, err error) {
	for _, p := range f.RuleFiles {
		if p != "" && !filepath.IsAbs(p) {
			p = filepath.Join(dir, p)
		}
		found, err := filepath.Glob(p)
		if err != nil {
			return nil, nil, fmt.Errorf("rule_files: %q: %w", p, err)
		}
		if len(found) == 0 {
			none = append(none, p)
		}
		paths = append(paths, found...)
	}
	return paths, none, nil
}
