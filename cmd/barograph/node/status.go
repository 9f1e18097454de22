package node

import (
	"os"
	"runtime"
	"runtime/debug"
	gometrics "runtime/metrics"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/version"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/api"
)

// status is what the API says of this node.
func (n *Node) status() api.Status {
	return api.Status{
		Config:   func() string { return n.file.Load().String() },
		Flags:    n.cfg.Flags,
		Runtime:  n.runtimeInfo,
		Build:    buildInfo(),
		Features: n.features,
		Gatherer: n.registry,
	}
}

func buildInfo() api.BuildInfo {
	return api.BuildInfo{
		Version: version.Version, Revision: version.GetRevision(), Branch: version.Branch,
		BuildUser: version.BuildUser, BuildDate: version.BuildDate, GoVersion: version.GoVersion,
	}
}

func (n *Node) runtimeInfo() (api.RuntimeInfo, error) {
	cwd, err := os.Getwd()
	if err != nil {
		cwd = "<error retrieving current working directory>"
	}
	host, err := os.Hostname()
	if err != nil {
		host = "<error retrieving hostname>"
	}
	return api.RuntimeInfo{
		StartTime:           n.started,
		CWD:                 cwd,
		Hostname:            host,
		ServerTime:          time.Now().UTC(),
		ReloadConfigSuccess: !n.reloadFailed.Load(),
		LastConfigTime:      *n.loaded.Load(),
		CorruptionCount:     n.corruptions.Load(),
		GoroutineCount:      runtime.NumGoroutine(),
		GOMAXPROCS:          runtime.GOMAXPROCS(0),
		GOMEMLIMIT:          debug.SetMemoryLimit(-1),
		GOGC:                gcPercent(),
		GODEBUG:             os.Getenv("GODEBUG"),
		StorageRetention:    n.retention(),
	}, nil
}

// gcPercent asks the runtime, which has no function for it.
func gcPercent() string {
	s := []gometrics.Sample{{Name: "/gc/gogc:percent"}}
	gometrics.Read(s)
	if s[0].Value.Kind() != gometrics.KindUint64 {
		return ""
	}
	return strconv.FormatUint(s[0].Value.Uint64(), 10)
}

// retention in Prometheus' words.
func (n *Node) retention() string {
	s := n.options.Retention.Time.String()
	if size := n.options.Retention.Size; size > 0 {
		s += " or " + size.String()
	}
	return s
}

// features says which of Prometheus' features are on, by category.
func (n *Node) features() map[string]map[string]bool {
	queries := map[string]bool{}
	for _, name := range querier.Features() {
		queries[name] = slices.Contains(n.cfg.features(), name)
	}
	return map[string]map[string]bool{"promql": queries}
}
