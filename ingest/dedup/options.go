package dedup

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of Elections. Propose must be given.
type Options struct {
	// ClusterLabel names the pair; default "cluster".
	ClusterLabel string
	// ReplicaLabel names the replica, and is taken off; default "__replica__".
	ReplicaLabel string
	Settings

	// Propose has a command applied to the Table, of all nodes where there are several, and returns what
	// Apply did. An error may be about a command that is applied all the same.
	Propose func(ctx context.Context, command []byte) (result []byte, err error)

	Logger     *slog.Logger          // nil drops it
	Registerer prometheus.Registerer // nil keeps no metrics
}

// Settings can be changed while samples come.
type Settings struct {
	// Failover is how long an elected replica may be silent before another is elected; default 30 s. It
	// must be longer than what passes between two requests of a healthy sender.
	Failover time.Duration
	// Update is how old what is agreed on an elected replica's last sign of life may get; default 10 s,
	// or what Failover leaves room for. Failover less Update and slack is how long a healthy sender may be silent.
	Update time.Duration
	// MaxClusters is the most pairs; the samples of more are refused. Default 1000.
	MaxClusters int
}

// slack is how much later than Update others may learn that a replica was heard: a proposal is made within half
// a second, takes as long as a quorum's disks and a word to the others, and a File is written within
// a second.
const slack = 3 * time.Second

// EnsureDefaults replaces zero values.
func (o *Options) EnsureDefaults() {
	if o.ClusterLabel == "" {
		o.ClusterLabel = "cluster"
	}
	if o.ReplicaLabel == "" {
		o.ReplicaLabel = "__replica__"
	}
	o.Settings.EnsureDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// EnsureDefaults replaces zero values.
func (s *Settings) EnsureDefaults() {
	if s.Failover == 0 {
		s.Failover = 30 * time.Second
	}
	if s.Update == 0 {
		s.Update = max(time.Second, min(10*time.Second, s.Failover-2*slack))
	}
	if s.MaxClusters == 0 {
		s.MaxClusters = 1000
	}
}

// Validate returns an error that names the option it finds wrong.
func (o *Options) Validate() error {
	switch {
	case o.ClusterLabel == o.ReplicaLabel:
		return fmt.Errorf("cluster_label and replica_label are both %q", o.ClusterLabel)
	case o.ClusterLabel == metricName || o.ReplicaLabel == metricName:
		return fmt.Errorf("neither cluster_label nor replica_label may be %s", metricName)
	}
	return o.Settings.Validate()
}

const metricName = "__name__"

// Validate returns an error that names the setting it finds wrong.
func (s *Settings) Validate() error {
	switch {
	case s.Update < time.Second:
		return fmt.Errorf("update %s is below 1s", s.Update)
	case s.Failover < s.Update+2*slack:
		return fmt.Errorf("failover %s is not %s longer than update %s", s.Failover, 2*slack, s.Update)
	case s.Failover > 24*time.Hour:
		return fmt.Errorf("failover %s is above a day", s.Failover)
	case s.MaxClusters < 0 || s.MaxClusters > maxPairs:
		return fmt.Errorf("max_clusters %d is not in 1 to %d", s.MaxClusters, maxPairs)
	}
	return nil
}
