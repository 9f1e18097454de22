package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protojson"
)

// Status is what a node says of itself. Each part may be left out.
type Status struct {
	// Config returns the configuration in force as YAML, without secrets.
	Config func() string
	// Flags by name, without secrets.
	Flags   map[string]string
	Runtime func() (RuntimeInfo, error)
	Build   BuildInfo
	// Features that are on or off, by category; those of this API are added.
	Features      func() map[string]map[string]bool
	Notifications func() []Notification
	Gatherer      prometheus.Gatherer
}

// BuildInfo says what was built, from what.
type BuildInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	Branch    string `json:"branch"`
	BuildUser string `json:"buildUser"`
	BuildDate string `json:"buildDate"`
	GoVersion string `json:"goVersion"`
}

// RuntimeInfo says how the process is doing.
type RuntimeInfo struct {
	StartTime           time.Time `json:"startTime"`
	CWD                 string    `json:"CWD"`
	Hostname            string    `json:"hostname"`
	ServerTime          time.Time `json:"serverTime"`
	ReloadConfigSuccess bool      `json:"reloadConfigSuccess"`
	LastConfigTime      time.Time `json:"lastConfigTime"`
	CorruptionCount     int64     `json:"corruptionCount"`
	GoroutineCount      int       `json:"goroutineCount"`
	GOMAXPROCS          int       `json:"GOMAXPROCS"`
	GOMEMLIMIT          int64     `json:"GOMEMLIMIT"`
	GOGC                string    `json:"GOGC"`
	GODEBUG             string    `json:"GODEBUG"`
	StorageRetention    string    `json:"storageRetention"`
}

// Notification is something that whoever looks at the UI should know.
type Notification struct {
	Text   string    `json:"text"`
	Date   time.Time `json:"date"`
	Active bool      `json:"active"`
}

// configYAML is the form in which configuration is shown.
type configYAML struct {
	YAML string `json:"yaml"`
}

func (a *API) statusConfig(request) (answer, error) {
	var text string
	if a.opts.Status.Config != nil {
		text = a.opts.Status.Config()
	}
	return answer{data: configYAML{text}}, nil
}

func (a *API) statusFlags(request) (answer, error) {
	flags := a.opts.Status.Flags
	if flags == nil {
		flags = map[string]string{}
	}
	return answer{data: flags}, nil
}

func (a *API) statusRuntime(request) (answer, error) {
	if a.opts.Status.Runtime == nil {
		return answer{data: RuntimeInfo{ServerTime: time.Now().UTC()}}, nil
	}
	info, err := a.opts.Status.Runtime()
	if err != nil {
		return answer{}, fail(internal, err)
	}
	return answer{data: info}, nil
}

func (a *API) statusBuild(request) (answer, error) {
	return answer{data: a.opts.Status.Build}, nil
}

// ownFeatures are those of the API itself, by the names that clients look for.
func (a *API) ownFeatures() map[string]bool {
	return map[string]bool{
		"admin":              a.opts.Admin.Enabled,
		"exclude_alerts":     true,
		"label_values_match": true,
		"query_stats":        true,
		"query_warnings":     true,
		"time_range_labels":  true,
		"time_range_series":  true,
	}
}

func (a *API) features(request) (answer, error) {
	all := map[string]map[string]bool{}
	if a.opts.Status.Features != nil {
		maps.Copy(all, a.opts.Status.Features())
	}
	own := a.ownFeatures()
	maps.Copy(own, all["api"])
	all["api"] = own
	// The names are ours and hold operators such as >=, which clients compare as text.
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(all); err != nil {
		return answer{}, fail(internal, err)
	}
	return answer{data: rawJSON(text.Bytes())}, nil
}

// rawJSON is data that is JSON already.
type rawJSON []byte

func (j rawJSON) encode(b *body) { b.buf = append(b.buf, bytes.TrimSpace(j)...) }

func (a *API) notifications(request) (answer, error) {
	list := []Notification{}
	if a.opts.Status.Notifications != nil {
		list = append(list, a.opts.Status.Notifications()...)
	}
	return answer{data: list}, nil
}

// notificationsLive says "no content", upon which browsers do not ask again; they read the list.
func (a *API) notificationsLive(request) (answer, error) { return answer{}, nil }

func (a *API) selfMetrics(r request) (answer, error) {
	var wanted *regexp.Regexp
	if pattern := r.value("metric_name_pattern"); pattern != "" {
		if len(pattern) > maxPattern {
			return answer{}, failf(badData, "invalid metric_name_pattern: longer than %d bytes", maxPattern)
		}
		var err error
		if wanted, err = regexp.Compile("^(?:" + pattern + ")$"); err != nil {
			return answer{}, failf(badData, "invalid metric_name_pattern: %w", err)
		}
	}
	families := []json.RawMessage{}
	if a.opts.Status.Gatherer == nil {
		return answer{data: families}, nil
	}
	gathered, err := a.opts.Status.Gatherer.Gather()
	if err != nil {
		return answer{}, failf(internal, "error gathering self metrics: %w", err)
	}
	for _, mf := range gathered {
		if wanted != nil && !wanted.MatchString(mf.GetName()) {
			continue
		}
		text, err := protojson.Marshal(mf)
		if err != nil {
			return answer{}, failf(internal, "error marshaling metric family %q: %w", mf.GetName(), err)
		}
		families = append(families, text)
	}
	return answer{data: families}, nil
}

// maxPattern bounds a regular expression of a URL that does not go through the engine.
const maxPattern = 1000
