package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// rulesOfGroup are the ten rules of each group: of the five that record, four ask for a machine and one for a
// quarter of the fleet; of the five that alert, two look at what the group recorded.
var rulesOfGroup = `
- name: TEAM
  interval: INTERVAL
  rules:
  - {record: "bench:cpu:rate5m", labels: {team: TEAM}, expr: 'sum by (job) (rate(node_cpu_seconds_total{instance="MACHINE"}[5m]))'}
  - {record: "bench:received:rate5m", labels: {team: TEAM}, expr: 'sum by (job) (rate(node_network_receive_bytes_total{cluster="CLUSTER"}[5m]))'}
  - {record: "bench:requests:rate5m", labels: {team: TEAM}, expr: 'sum by (job, le) (rate(http_request_duration_seconds_bucket{instance="MACHINE"}[5m]))'}
  - {record: "bench:written:rate5m", labels: {team: TEAM}, expr: 'sum by (job, device) (rate(node_disk_written_bytes_total{instance="MACHINE"}[5m]))'}
  - {record: "bench:io:rate5m", labels: {team: TEAM}, expr: 'sum by (job) (rate(node_disk_io_time_seconds_total{instance="MACHINE"}[5m]))'}
  - {alert: Busy, for: 1m, labels: {severity: page, team: TEAM}, annotations: {summary: "{{ $labels.job }} uses {{ $value }} CPUs"}, expr: 'bench:cpu:rate5m{team="TEAM"} > 1e12'}
  - {alert: Receives, for: 1m, labels: {severity: page, team: TEAM}, annotations: {summary: "{{ $labels.job }} receives {{ $value }} bytes"}, expr: 'bench:received:rate5m{team="TEAM"} < 0'}
  - {alert: Load, for: 1m, labels: {severity: info, team: TEAM}, annotations: {summary: "{{ $labels.instance }} has a load of {{ $value }}"}, expr: 'node_load1{instance="MACHINE"} LOADED'}
  - {alert: Sends, for: 1m, labels: {severity: page, team: TEAM}, annotations: {summary: "{{ $labels.device }} sends"}, expr: 'sum by (device) (rate(node_network_transmit_bytes_total{instance="MACHINE"}[5m])) > 1e12'}
  - {alert: Full, for: 1m, labels: {severity: page, team: TEAM}, annotations: {summary: "{{ $labels.mountpoint }} is full"}, expr: 'node_filesystem_avail_bytes{instance="MACHINE"} / node_filesystem_size_bytes{instance="MACHINE"} < 0'}
`

// perGroup is how many rules a group has.
const perGroup = 10

// ruleFile is a file with groups, each about one of the machines. In every second group one of the alerts fires.
func ruleFile(groups int, machines int64, interval time.Duration) string {
	var out strings.Builder
	out.WriteString("groups:")
	for g := range groups {
		m := g % int(machines)
		loaded := "< 0"
		if g%2 == 0 {
			loaded = ">= 0"
		}
		out.WriteString(strings.NewReplacer(
			"TEAM", fmt.Sprintf("g%05d", g), "INTERVAL", interval.String(), "LOADED", loaded,
			"MACHINE", instanceOf(m), "CLUSTER", clusterOf(m),
		).Replace(rulesOfGroup))
	}
	return out.String()
}

// withRules has a target read rule files: its configuration is the file that it has anyway, or one that it is given.
func withRules(t target, glob string) target {
	plain := t.args
	t.args = func(dir, addr string) ([]string, error) {
		args, err := plain(dir, addr)
		if err != nil {
			return nil, err
		}
		if flag := "--config.file=" + dir + ".yml"; !slices.Contains(args, flag) {
			args = append(args, flag)
		}
		f, err := os.OpenFile(dir+".yml", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		_, err = fmt.Fprintf(f, "rule_files: [%q]\n", filepath.ToSlash(glob))
		return args, err
	}
	return t
}
