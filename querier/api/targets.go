package api

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/barograph-db/barograph/storage/frame"
)

// Targets is what the node scrapes. Each function may be nil: then there is nothing.
type Targets struct {
	Active  func() []Target
	Dropped func() []DroppedTarget
	// DroppedCounts by scrape pool.
	DroppedCounts func() map[string]int
	Pools         func() []string
	// Config returns the scrape configuration of a pool as YAML, without secrets, and its
	// relabelling.
	Config func(pool string) (text string, rules []*relabel.Config, err error)
}

// Target is one endpoint that is scraped.
type Target struct {
	DiscoveredLabels labels.Labels `json:"discoveredLabels"`
	Labels           labels.Labels `json:"labels"`

	ScrapePool string `json:"scrapePool"`
	ScrapeURL  string `json:"scrapeUrl"`
	// GlobalURL is the same as seen from elsewhere.
	GlobalURL string `json:"globalUrl"`

	LastError  string    `json:"lastError"`
	LastScrape time.Time `json:"lastScrape"`
	// LastScrapeDuration in seconds.
	LastScrapeDuration float64 `json:"lastScrapeDuration"`
	// Health is "up", "down" or "unknown".
	Health         string `json:"health"`
	ScrapeInterval string `json:"scrapeInterval"`
	ScrapeTimeout  string `json:"scrapeTimeout"`

	// Metadata of what the target exposes; nil is none.
	Metadata func() []frame.Metadata `json:"-"`
}

func (t *Target) metadata() []frame.Metadata {
	if t.Metadata == nil {
		return nil
	}
	return t.Metadata()
}

// DroppedTarget is one that relabelling left out.
type DroppedTarget struct {
	DiscoveredLabels labels.Labels `json:"discoveredLabels"`
	ScrapePool       string        `json:"scrapePool"`
}

func (a *API) targets(r request) (answer, error) {
	data := struct {
		ActiveTargets       []Target        `json:"activeTargets"`
		DroppedTargets      []DroppedTarget `json:"droppedTargets"`
		DroppedTargetCounts map[string]int  `json:"droppedTargetCounts"`
	}{[]Target{}, []DroppedTarget{}, nil}
	pool, state := r.value("scrapePool"), strings.ToLower(r.value("state"))
	all, src := state == "" || state == "any", a.opts.Targets
	if (all || state == "active") && src.Active != nil {
		for _, t := range src.Active() {
			if pool == "" || t.ScrapePool == pool {
				data.ActiveTargets = append(data.ActiveTargets, t)
			}
		}
	}
	if all || state == "dropped" {
		data.DroppedTargetCounts = map[string]int{}
		if src.DroppedCounts != nil {
			data.DroppedTargetCounts = src.DroppedCounts()
		}
		if src.Dropped != nil {
			for _, t := range src.Dropped() {
				if pool == "" || t.ScrapePool == pool {
					data.DroppedTargets = append(data.DroppedTargets, t)
				}
			}
		}
	}
	slices.SortStableFunc(data.ActiveTargets, func(x, y Target) int { return strings.Compare(x.ScrapePool, y.ScrapePool) })
	slices.SortStableFunc(data.DroppedTargets, func(x, y DroppedTarget) int { return strings.Compare(x.ScrapePool, y.ScrapePool) })
	return answer{data: data}, nil
}

// targetMetadata is a description with the target that exposes it.
type targetMetadata struct {
	Target labels.Labels `json:"target"`
	Metric string        `json:"metric,omitempty"`
	description
}

func (a *API) targetsMetadata(r request) (answer, error) {
	limit, err := r.number("limit", -1)
	if err != nil {
		return answer{}, err
	}
	var wanted []*labels.Matcher
	if s := r.value("match_target"); s != "" {
		if wanted, err = a.opts.Engine.ParseSelector(r.Context(), s); err != nil {
			return answer{}, badParam("match_target", err)
		}
	}
	metric, found := r.value("metric"), []targetMetadata{}
	if a.opts.Targets.Active == nil {
		return answer{data: found}, nil
	}
	for _, t := range a.opts.Targets.Active() {
		if limit >= 0 && len(found) >= limit {
			break
		}
		if !matches(t.Labels, wanted) {
			continue
		}
		for _, m := range t.metadata() {
			switch metric {
			case "":
				found = append(found, targetMetadata{t.Labels, m.Metric, describe(m)})
			case m.Metric: // The caller knows the name.
				found = append(found, targetMetadata{t.Labels, "", describe(m)})
			}
		}
	}
	return answer{data: found}, nil
}

func matches(ls labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

func (a *API) scrapePools(request) (answer, error) {
	pools := []string{}
	if a.opts.Targets.Pools != nil {
		pools = append(pools, a.opts.Targets.Pools()...)
	}
	slices.Sort(pools)
	return answer{data: map[string][]string{"scrapePools": pools}}, nil
}

// poolConfig is the configuration of the pool that the request names.
func (a *API) poolConfig(r request) (string, []*relabel.Config, error) {
	pool := r.value("scrapePool")
	if pool == "" {
		return "", nil, fail(badData, errors.New("no scrapePool parameter provided"))
	}
	if a.opts.Targets.Config == nil {
		return "", nil, failf(badData, "error retrieving scrape config: scrape pool %q not found", pool)
	}
	text, rules, err := a.opts.Targets.Config(pool)
	if err != nil {
		return "", nil, failf(badData, "error retrieving scrape config: %w", err)
	}
	return text, rules, nil
}

func (a *API) scrapePoolConfig(r request) (answer, error) {
	text, _, err := a.poolConfig(r)
	if err != nil {
		return answer{}, err
	}
	return answer{data: configYAML{text}}, nil
}

// relabelStep is what is left of a target's labels after one rule.
type relabelStep struct {
	Rule   *relabel.Config `json:"rule"`
	Output labels.Labels   `json:"output"`
	Keep   bool            `json:"keep"`
}

func (a *API) relabelSteps(r request) (answer, error) {
	text := r.value("labels")
	if text == "" && r.value("scrapePool") != "" {
		return answer{}, fail(badData, errors.New("no labels parameter provided"))
	}
	_, rules, err := a.poolConfig(r)
	if err != nil {
		return answer{}, err
	}
	var ls labels.Labels
	if err := json.Unmarshal([]byte(text), &ls); err != nil {
		return answer{}, failf(badData, "error parsing labels: %w", err)
	}
	b, keep := labels.NewBuilder(ls), true
	steps := make([]relabelStep, len(rules))
	for i, rule := range rules {
		steps[i].Rule = rule
		if keep = keep && relabel.ProcessBuilder(b, rule); keep {
			steps[i].Output, steps[i].Keep = b.Labels(), true
		}
	}
	return answer{data: map[string][]relabelStep{"steps": steps}}, nil
}
