package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"github.com/barograph-db/barograph/ruler/notify"
	"github.com/barograph-db/barograph/ruler/rules"
)

// maxFileBytes bounds a configuration file.
const maxFileBytes = 16 << 20

// File is the configuration file: prometheus.yml's own syntax, and everything of Barograph's own
// under one key. It is immutable once loaded. docs/configuration.md explains each key.
type File struct {
	Global            Global    `yaml:"global"`
	Runtime           Runtime   `yaml:"runtime,omitempty"`
	Alerting          Section   `yaml:"alerting,omitempty"`
	RuleFiles         []string  `yaml:"rule_files,omitempty"`
	ScrapeConfigFiles []string  `yaml:"scrape_config_files,omitempty"`
	ScrapeConfigs     Section   `yaml:"scrape_configs,omitempty"`
	Storage           Section   `yaml:"storage,omitempty"`
	Tracing           Section   `yaml:"tracing,omitempty"`
	RemoteWrite       Section   `yaml:"remote_write,omitempty"`
	RemoteRead        Section   `yaml:"remote_read,omitempty"`
	OTLP              Section   `yaml:"otlp,omitempty"`
	Barograph         Barograph `yaml:"barograph"`

	unused []string

	// What loadRules has read.
	ruleOptions rules.Options
	rules       []rules.Source
	alerting    *notify.Config
}

// Global are the settings that Prometheus keeps under global. Those that steer scraping and rules
// are checked and kept for the parts that need them.
type Global struct {
	// ScrapeInterval is the default time between scrapes; default 1m, as Prometheus'.
	ScrapeInterval Duration `yaml:"scrape_interval,omitempty"`
	// ScrapeTimeout is the default bound of a scrape; default 10s, at most ScrapeInterval.
	ScrapeTimeout Duration `yaml:"scrape_timeout,omitempty"`
	// ScrapeProtocols are proposed to targets in this order.
	ScrapeProtocols []string `yaml:"scrape_protocols,omitempty"`
	// EvaluationInterval is the default time between evaluations of a rule group, and the step of
	// subqueries that name none; default 1m.
	EvaluationInterval Duration `yaml:"evaluation_interval,omitempty"`
	// RuleQueryOffset is how far into the past rules look, of groups that do not say; default 0.
	RuleQueryOffset Duration `yaml:"rule_query_offset,omitempty"`
	// ExternalLabels are put on what leaves this node: federation, remote read and alerts. ${NAME}
	// in a value is replaced by the environment's variable.
	ExternalLabels map[string]string `yaml:"external_labels,omitempty"`

	QueryLogFile                   string   `yaml:"query_log_file,omitempty"`
	QueryMaxSeries                 uint64   `yaml:"query_max_series,omitempty"`
	QueryMaxSamplesRead            uint64   `yaml:"query_max_samples_read,omitempty"`
	QueryMaxDuration               Duration `yaml:"query_max_duration,omitempty"`
	ScrapeFailureLogFile           string   `yaml:"scrape_failure_log_file,omitempty"`
	BodySizeLimit                  Bytes    `yaml:"body_size_limit,omitempty"`
	SampleLimit                    uint     `yaml:"sample_limit,omitempty"`
	TargetLimit                    uint     `yaml:"target_limit,omitempty"`
	LabelLimit                     uint     `yaml:"label_limit,omitempty"`
	LabelNameLengthLimit           uint     `yaml:"label_name_length_limit,omitempty"`
	LabelValueLengthLimit          uint     `yaml:"label_value_length_limit,omitempty"`
	KeepDroppedTargets             uint     `yaml:"keep_dropped_targets,omitempty"`
	MetricNameValidationScheme     string   `yaml:"metric_name_validation_scheme,omitempty"`
	MetricNameEscapingScheme       string   `yaml:"metric_name_escaping_scheme,omitempty"`
	ScrapeNativeHistograms         *bool    `yaml:"scrape_native_histograms,omitempty"`
	ConvertClassicHistogramsToNHCB bool     `yaml:"convert_classic_histograms_to_nhcb,omitempty"`
	AlwaysScrapeClassicHistograms  bool     `yaml:"always_scrape_classic_histograms,omitempty"`
	ExtraScrapeMetrics             *bool    `yaml:"extra_scrape_metrics,omitempty"`
}

// Runtime are the settings of the process itself that Prometheus keeps under runtime.
type Runtime struct {
	// GoGC is the garbage collector's target percentage; without it the variable GOGC, and without that
	// it follows the heap.
	GoGC int `yaml:"gogc,omitempty"`
	// LogLevel overrides --log.level.
	LogLevel string `yaml:"log_level,omitempty"`
}

// LoadFile reads and checks a configuration file; an empty path is the default configuration. The
// error is a *FileError when the file could be read.
func LoadFile(path string) (*File, error) {
	if path == "" {
		return parseFile(path, nil)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration (--config.file): %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration (--config.file): %w", err)
	}
	if len(data) > maxFileBytes {
		return nil, &FileError{Path: path, problems: []problem{{text: fmt.Sprintf("larger than %d bytes", maxFileBytes)}}}
	}
	return parseFile(path, data)
}

func parseFile(path string, data []byte) (*File, error) {
	f := &File{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fileError(path, err)
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fileError(path, errors.New("only one YAML document is allowed"))
	}
	f.unused = unusedKeys(data)
	f.ensureDefaults()
	if err := f.validate(); err != nil {
		return nil, fileError(path, err)
	}
	return f, nil
}

func (f *File) ensureDefaults() {
	g := &f.Global
	if g.ScrapeTimeout == 0 {
		g.ScrapeTimeout = Duration(10 * time.Second)
		if g.ScrapeInterval > 0 {
			g.ScrapeTimeout = min(g.ScrapeTimeout, g.ScrapeInterval)
		}
	}
	f.Barograph.ensureDefaults(g.ScrapeInterval)
	if g.ScrapeInterval == 0 {
		g.ScrapeInterval = Duration(time.Minute)
	}
	if g.EvaluationInterval == 0 {
		g.EvaluationInterval = Duration(time.Minute)
	}
	for name, value := range g.ExternalLabels {
		g.ExternalLabels[name] = os.Expand(value, func(s string) string {
			if s == "$" {
				return "$"
			}
			return os.Getenv(s)
		})
	}
}

func (f *File) validate() error {
	errs := []error{f.Global.validate(), f.Runtime.validate(), f.Barograph.validate()}
	for _, s := range f.sections() {
		errs = append(errs, s.section.wellFormed(s.key, s.kind))
	}
	return errors.Join(errs...)
}

// scrapeProtocols are those that Prometheus knows.
var scrapeProtocols = []string{
	"PrometheusProto", "PrometheusText0.0.4", "PrometheusText1.0.0",
	"OpenMetricsText0.0.1", "OpenMetricsText1.0.0", "OpenMetricsText2.0.0",
}

func (g *Global) validate() error {
	if g.ScrapeTimeout > g.ScrapeInterval {
		return errors.New("global.scrape_timeout is greater than global.scrape_interval")
	}
	for i, p := range g.ScrapeProtocols {
		if !slices.Contains(scrapeProtocols, p) {
			return fmt.Errorf("global.scrape_protocols: %q is none of %s", p, strings.Join(scrapeProtocols, ", "))
		}
		if slices.Contains(g.ScrapeProtocols[:i], p) {
			return fmt.Errorf("global.scrape_protocols: %q is given twice", p)
		}
	}
	for name, value := range g.ExternalLabels {
		if name == "" || name == model.MetricNameLabel || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return fmt.Errorf("global.external_labels: %q is not a valid label", name)
		}
	}
	if s := g.MetricNameValidationScheme; s != "" && s != "utf8" && s != "legacy" {
		return fmt.Errorf("global.metric_name_validation_scheme: %q is neither utf8 nor legacy", s)
	}
	return nil
}

func (r *Runtime) validate() error {
	if r.LogLevel != "" {
		if err := promslog.NewLevel().Set(r.LogLevel); err != nil {
			return fmt.Errorf("runtime.log_level: %w", err)
		}
	}
	return nil
}

// externalLabels in the library's form.
func (f *File) externalLabels() labels.Labels { return labels.FromMap(f.Global.ExternalLabels) }

// sections are the top-level keys kept as written, with the shape each must have.
func (f *File) sections() []struct {
	key     string
	kind    yaml.Kind
	section Section
} {
	return []struct {
		key     string
		kind    yaml.Kind
		section Section
	}{
		{"alerting", yaml.MappingNode, f.Alerting},
		{"scrape_configs", yaml.SequenceNode, f.ScrapeConfigs},
		{"storage", yaml.MappingNode, f.Storage},
		{"tracing", yaml.MappingNode, f.Tracing},
		{"remote_write", yaml.SequenceNode, f.RemoteWrite},
		{"remote_read", yaml.SequenceNode, f.RemoteRead},
		{"otlp", yaml.MappingNode, f.OTLP},
	}
}

// actedUpon are the keys that have an effect in this version: top-level ones, and those of global.
var actedUpon = map[string]bool{
	"global": true, "runtime": true, "barograph": true, "rule_files": true, "alerting": true,
	"global.scrape_interval": true, "global.evaluation_interval": true, "global.rule_query_offset": true, "global.external_labels": true,
}

// unusedKeys lists the keys that are accepted and kept but have no effect in this version.
func unusedKeys(data []byte) []string {
	var doc map[string]yaml.Node
	if yaml.Unmarshal(data, &doc) != nil {
		return nil // The typed decoding has told.
	}
	var keys []string
	for key, node := range doc {
		if node.Tag == "!!null" || len(node.Content) == 0 {
			continue
		}
		if !actedUpon[key] {
			keys = append(keys, key)
		}
		if key != "global" {
			continue
		}
		for i := 0; i < len(node.Content); i += 2 {
			if k := key + "." + node.Content[i].Value; !actedUpon[k] {
				keys = append(keys, k)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// Unused names the keys of the file that are accepted and kept, but that this version does not act
// upon.
func (f *File) Unused() []string { return f.unused }

// String is the configuration in force as YAML, without secrets.
func (f *File) String() string {
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(f); err != nil {
		return "" // Every type above marshals; there is no other error to a strings.Builder.
	}
	return b.String()
}

var (
	atLine       = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknownField = regexp.MustCompile(`^field (.+) not found in type node\.(\w+)$`)
)

// fileError turns errors of the decoder and of validate into a FileError.
func fileError(path string, err error) error {
	fe := &FileError{Path: path}
	var add func(error)
	add = func(err error) {
		var te *yaml.TypeError
		joined, ok := err.(interface{ Unwrap() []error }) // The joined errors are wanted one by one.
		switch {
		case ok:
			for _, e := range joined.Unwrap() {
				add(e)
			}
		case errors.As(err, &te):
			for _, text := range te.Errors {
				fe.problems = append(fe.problems, newProblem(text))
			}
		default:
			fe.problems = append(fe.problems, newProblem(err.Error()))
		}
	}
	add(err)
	return fe
}

func newProblem(text string) problem {
	p := problem{text: strings.TrimPrefix(text, "yaml: ")}
	if m := atLine.FindStringSubmatch(text); m != nil {
		p.line, _ = strconv.Atoi(m[1])
		p.text = m[2]
	}
	if m := unknownField.FindStringSubmatch(p.text); m != nil {
		p.text = fmt.Sprintf("unknown key %q", m[1])
		if where := fileKeys[m[2]]; where != "" {
			p.text += " in " + where
		}
	}
	return p
}
