package main

import (
	"fmt"
	"strings"
	"time"
)

// scenario is data, what is done with it, and so which lines of the table it gives.
type scenario struct {
	name string
	plan plan
	span time.Duration

	// day puts the samples into the last whole day (UTC), and the day is sealed before it is weighed.
	day bool
	// flush puts the samples so that a slot of two hours, which Barograph flushes ten minutes after
	// its end, has ended within them: whatever the hour, the flush falls into the load.
	flush bool
	// Each query is asked over each of these.
	windows []window
	// clients is how long clients ask side by side; 0 leaves it out.
	clients time.Duration
	// kill is the time under load before kill -9; 0 leaves it out.
	kill time.Duration
	// killLoaded kills once all is loaded.
	killLoaded bool
}

// window is a range that ends with the data.
type window struct{ length, step time.Duration }

// askers is the number of clients that ask side by side.
const askers = 4

var scenarios = []scenario{
	{
		// Scrapes as Prometheus forwards them.
		name: "steady", span: time.Hour, flush: true, plan: plan{series: 100_000, perSeries: 1, churn: 40},
		windows: []window{{time.Hour, 15 * time.Second}}, kill: 10 * time.Second,
	},
	{
		// Many series, of which most of the cost is their creation.
		name: "million", span: 150 * time.Second, plan: plan{series: 1_000_000, perSeries: 1}, killLoaded: true,
	},
	{
		// A sender that was cut off for ten minutes sends what it kept.
		name: "backfill", span: 2 * time.Hour, plan: plan{series: 20_000, perSeries: 40},
	},
	{
		// A day at rest, under dashboards.
		name: "day", span: 24 * time.Hour, plan: plan{series: 10_000, perSeries: 40, churn: 1000}, day: true,
		windows: []window{{time.Hour, 15 * time.Second}, {6 * time.Hour, time.Minute}, {24 * time.Hour, 5 * time.Minute}},
		clients: 10 * time.Second,
	},
}

// choose returns the scenarios of a comma-separated list of names.
func choose(list string) ([]scenario, error) {
	var chosen []scenario
	for name := range strings.SplitSeq(list, ",") {
		found := false
		for _, s := range scenarios {
			if s.name == name {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no scenario %q", name)
		}
	}
	return chosen, nil
}

// slot and grace are Barograph's: a slot is flushed once its grace is over.
const (
	slot  = 2 * time.Hour
	grace = 10 * time.Minute
)

// end is about the time of the last sample, in ms.
func (s *scenario) end(now time.Time) int64 {
	switch {
	case s.day:
		return now.UTC().Truncate(24*time.Hour).UnixMilli() - 1
	case s.flush:
		return now.Add(-grace).Truncate(slot).Add(grace).UnixMilli()
	}
	return now.UnixMilli()
}
