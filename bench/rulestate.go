package main

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// ruleState is what servers show of their rules at a time.
type ruleState struct {
	at    time.Time
	cpu   time.Duration        // of all
	nodes []map[string]float64 // values of metrics by name and labels, without the prefix
}

func stateOfRules(ctx context.Context, nodes []*server) (*ruleState, error) {
	r := &ruleState{}
	for _, s := range nodes {
		_, body, err := get(ctx, "http://"+s.addr+"/metrics")
		if err != nil {
			return nil, err
		}
		values := map[string]float64{}
		for line := range strings.Lines(string(body)) {
			rest, ok := strings.CutPrefix(line, s.name+"_rule_")
			i := strings.LastIndexByte(rest, ' ')
			if !ok || i < 0 {
				continue
			}
			if v, err := strconv.ParseFloat(strings.TrimSpace(rest[i:]), 64); err == nil {
				values[rest[:i]] = v
			}
		}
		r.nodes = append(r.nodes, values)
	}
	for _, s := range nodes {
		u, err := s.usage()
		if err != nil {
			return nil, err
		}
		r.cpu += u.cpu
	}
	r.at = time.Now()
	return r, nil
}

// grown is by how much the counters of a name have grown on all nodes. Those of a group begin anew with
// its next owner.
func (r *ruleState) grown(before *ruleState, name string) (sum float64) {
	for i, values := range r.nodes {
		for key, v := range values {
			if key != name && !strings.HasPrefix(key, name+"{") {
				continue
			}
			if was := before.nodes[i][key]; was <= v {
				v -= was
			}
			sum += v
		}
	}
	return sum
}

// evaluated adds the groups that have been evaluated.
func (r *ruleState) evaluated(seen map[string]bool) {
	for _, values := range r.nodes {
		for key, at := range values {
			if group, ok := strings.CutPrefix(key, "group_last_evaluation_timestamp_seconds"); ok && at > 0 {
				seen[group] = true
			}
		}
	}
}

// punctuality is how many of the evaluations of groups that were due began in time.
type punctuality struct {
	due, done float64
	within    float64 // seconds: the largest bound of the histogram that is within the interval
	inTime    float64 // those that began within it
}

// share of the due ones that were in time.
func (p *punctuality) share() float64 { return min(1, p.inTime/p.due) }

// punctual goes by the number of timestamps that a group has in the time between, so that one that was
// passed over, or should have been evaluated by now, counts too. It is nil for a server that does not show
// how late it is.
func punctual(before, after *ruleState, r ruleRun) *punctuality {
	p := &punctuality{
		due:  float64(r.groups) * after.at.Sub(before.at).Seconds() / r.interval.Seconds(),
		done: after.grown(before, "group_lateness_seconds_count"),
	}
	bucket := ""
	for key := range after.nodes[0] {
		le, ok := strings.CutPrefix(key, `group_lateness_seconds_bucket{le="`)
		bound, err := strconv.ParseFloat(strings.TrimSuffix(le, `"}`), 64)
		if ok && err == nil && bound <= r.interval.Seconds() && bound > p.within {
			p.within, bucket = bound, key
		}
	}
	if bucket == "" {
		return nil
	}
	p.inTime = after.grown(before, bucket)
	return p
}
