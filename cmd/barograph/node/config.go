package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/common/promslog"

	"github.com/barograph-db/barograph/cluster"
	"github.com/barograph-db/barograph/cluster/trust"
	"github.com/barograph-db/barograph/storage/wal"
)

// Config is what the command line says. The zero value is a node on the default addresses and
// ./data; what both it and the configuration file set, it decides.
type Config struct {
	// ConfigFile is the path of the configuration file; empty is none.
	ConfigFile string
	// Name of the node; default the host's name.
	Name string

	Storage StorageConfig
	Web     WebConfig
	Cluster ClusterConfig
	Rules   RulesConfig
	// Query holds what was given on the command line, else zero values.
	Query Query
	// Features are the names given to --enable-feature, each entry a comma-separated list.
	Features []string

	// Logger takes the log; nil drops it.
	Logger *slog.Logger
	// LogLevel is changed by runtime.log_level of the configuration file; nil leaves that key
	// without effect.
	LogLevel *promslog.Level
	// Flags are shown by status/flags.
	Flags map[string]string

	// What the node stands on; a simulation gives it others than the machine's.
	disk    vfs.FS
	network cluster.Network // nil is the machine's
	// dropHold is how long what has moved away stays on disk; 0 is the constant of that name.
	dropHold time.Duration
}

// StorageConfig is the part of Config that names and bounds the data directory.
type StorageConfig struct {
	// Path of the data directory; default ./data.
	Path string
	// Retention of raw samples; 0 leaves it to the configuration file.
	Retention Duration
	// RetentionSize of the data on disk; 0 leaves it to the configuration file.
	RetentionSize Bytes
	// WALSync is batch, interval or off; default batch.
	WALSync string
	// OutOfOrderWindow is how far a sample may lie behind the newest of its series; 0 is the whole
	// retention.
	OutOfOrderWindow Duration
}

// WebConfig is the part of Config for the HTTP server.
type WebConfig struct {
	// ListenAddresses of the HTTP server; default :11013.
	ListenAddresses []string
	// ConfigFile is the exporter-toolkit's file with TLS and users; empty is neither.
	ConfigFile string
	// EnableLifecycle answers POST /-/reload and /-/quit.
	EnableLifecycle bool
	// EnableAdminAPI answers POST /api/v1/admin/..., and what changes the cluster.
	EnableAdminAPI bool
	// RoutePrefix is a path under which everything is served besides / and /prometheus; default that of
	// ExternalURL.
	RoutePrefix string
	// ExternalURL is where the node is reached, for links in alerts and templates; default made of Name
	// and the first port.
	ExternalURL string
}

// RulesConfig is the part of Config for the evaluation of rules.
type RulesConfig struct {
	// ResendDelay is after what time Alertmanagers are told of an alert again; default 1m.
	ResendDelay Duration
	// MaxConcurrentEvals is how many groups are evaluated at once; default 16.
	MaxConcurrentEvals int
	// CatchUp bounds how late a timestamp is still evaluated; default 1h.
	CatchUp Duration
	// Grace is how long alerts that are not found are held after an outage; default 5m.
	Grace Duration
}

// ClusterConfig is the part of Config for a node that is one of several.
type ClusterConfig struct {
	// Name of the cluster; empty is a node on its own. Clusters of different names never meet.
	Name string
	// Join are gossip addresses of any members; empty founds a region.
	Join []string
	// GossipAddress and RPCAddress to listen on; default :11015 and :11014.
	GossipAddress, RPCAddress string
	// AdvertiseHost is where others reach this node; default what it listens on, or else an address of
	// the machine.
	AdvertiseHost string
	// Region and Zone the node is in; default "default" and none.
	Region, Zone string
	// Weight is the node's share of the shards relative to the others'; default 1.
	Weight uint32
	// ReplicationFactor is how many replicas each shard has, if there are as many nodes; default 3.
	ReplicationFactor int
	// BootstrapExpect is how many nodes see each other before the region is founded.
	BootstrapExpect int
	// Certificates and keys by which nodes know each other; by default there are none.
	TLSCertFile, TLSKeyFile, TLSCAFile, TLSServerName, GossipKeyFile string
	// MoveRate is how many bytes a second are copied to this node; default 64MiB.
	MoveRate Bytes
	// OutboxSize is how many bytes are kept for each node that can't take them; default 8GiB.
	OutboxSize Bytes
}

// Register defines the flags on a command; they are in the Config once the command line was parsed.
func (c *Config) Register(cmd *kingpin.CmdClause) {
	cmd.Flag("config.file", "Configuration file in prometheus.yml's syntax; ours under the key barograph:.").
		PlaceHolder("FILE").StringVar(&c.ConfigFile)
	cmd.Flag("node.name", "Name of this node. Default: the host's name.").
		PlaceHolder("NAME").StringVar(&c.Name)

	cmd.Flag("storage.path", "Data directory.").Default("./data").StringVar(&c.Storage.Path)
	cmd.Flag("storage.retention", "How long raw samples are kept. Default: barograph.retention.time, else 30d.").
		PlaceHolder("DURATION").SetValue(&c.Storage.Retention)
	cmd.Flag("storage.retention-size", "Size of the data on disk above which the oldest is dropped. Default: barograph.retention.size, else no limit.").
		PlaceHolder("SIZE").SetValue(&c.Storage.RetentionSize)
	cmd.Flag("storage.wal-sync", "What an acknowledged write waits for: batch (on disk), interval (on disk within a second), off (with the operating system).").
		Default("batch").EnumVar(&c.Storage.WALSync, "batch", "interval", "off")
	cmd.Flag("storage.out-of-order-window", "How far a sample may lie behind the newest of its series. Default: the whole retention.").
		PlaceHolder("DURATION").SetValue(&c.Storage.OutOfOrderWindow)

	cmd.Flag("web.listen-address", "Address of the HTTP server; may be repeated.").
		Default(":11013").StringsVar(&c.Web.ListenAddresses)
	cmd.Flag("web.config.file", "File with TLS and users, in the exporter-toolkit's format.").
		PlaceHolder("FILE").StringVar(&c.Web.ConfigFile)
	cmd.Flag("web.enable-lifecycle", "Answer POST /-/reload and POST /-/quit.").
		BoolVar(&c.Web.EnableLifecycle)
	cmd.Flag("web.enable-admin-api", "Answer POST /api/v1/admin/..., and POST /api/v1/cluster/drain and remove.").
		BoolVar(&c.Web.EnableAdminAPI)
	cmd.Flag("web.route-prefix", "Path under which everything is served, besides / and /prometheus.").
		PlaceHolder("PATH").StringVar(&c.Web.RoutePrefix)
	cmd.Flag("web.external-url", "URL at which the node is reached, for links in alerts. Its path is the default of --web.route-prefix. Default: made of the node's name and port.").
		PlaceHolder("URL").StringVar(&c.Web.ExternalURL)

	cmd.Flag("cluster.name", "Name of the cluster that the node is of. Default: none, it is on its own.").
		PlaceHolder("NAME").StringVar(&c.Cluster.Name)
	cmd.Flag("cluster.join", "Gossip addresses of any members, HOST:PORT or dns+NAME[:PORT], separated by commas; may be repeated. With none the node founds a region.").
		PlaceHolder("ADDRESSES").StringsVar(&c.Cluster.Join)
	cmd.Flag("cluster.gossip-address", "Address to gossip on, by UDP and TCP.").
		Default(":11015").StringVar(&c.Cluster.GossipAddress)
	cmd.Flag("cluster.rpc-address", "Address that other nodes send writes, queries and votes to.").
		Default(":11014").StringVar(&c.Cluster.RPCAddress)
	cmd.Flag("cluster.advertise-host", "Host at which other nodes reach this one. Default: that of the gossip address, else a private address of the machine.").
		PlaceHolder("HOST").StringVar(&c.Cluster.AdvertiseHost)
	cmd.Flag("cluster.region", "Data centre that the node is in.").
		Default("default").StringVar(&c.Cluster.Region)
	cmd.Flag("cluster.zone", "Failure domain within the region: replicas of a shard are spread over zones.").
		PlaceHolder("NAME").StringVar(&c.Cluster.Zone)
	cmd.Flag("cluster.weight", "Share of the shards that the node takes, relative to the others'.").
		Default("1").Uint32Var(&c.Cluster.Weight)
	cmd.Flag("cluster.replication-factor", "How many nodes hold each shard, if there are as many.").
		Default("3").IntVar(&c.Cluster.ReplicationFactor)
	cmd.Flag("cluster.bootstrap-expect", "How many nodes are to see each other before one of them founds the region. Default: 1 without --cluster.join; else this node founds none.").
		PlaceHolder("N").IntVar(&c.Cluster.BootstrapExpect)
	cmd.Flag("cluster.tls-cert-file", "Certificate that the node shows other nodes, in PEM. Default: none, what nodes say to each other is not encrypted.").
		PlaceHolder("FILE").StringVar(&c.Cluster.TLSCertFile)
	cmd.Flag("cluster.tls-key-file", "Private key of that certificate, in PEM.").
		PlaceHolder("FILE").StringVar(&c.Cluster.TLSKeyFile)
	cmd.Flag("cluster.tls-ca-file", "Certificates of the authority that signs those of all nodes, in PEM.").
		PlaceHolder("FILE").StringVar(&c.Cluster.TLSCAFile)
	cmd.Flag("cluster.tls-server-name", "Name that the certificates of all nodes are issued for. Default: any that the authority signed is taken.").
		PlaceHolder("NAME").StringVar(&c.Cluster.TLSServerName)
	cmd.Flag("cluster.gossip-key-file", "Keys of gossip in base64, one on each line: the first encrypts, all decrypt. Default: none, gossip is not encrypted.").
		PlaceHolder("FILE").StringVar(&c.Cluster.GossipKeyFile)
	cmd.Flag("cluster.move-rate", "How many bytes a second are copied to the node when shards move to it, and when its replicas are repaired.").
		Default("64MiB").SetValue(&c.Cluster.MoveRate)
	cmd.Flag("cluster.outbox-size", "How many bytes are kept on disk for each node that can't take them; the oldest beyond are left to repair.").
		Default("8GiB").SetValue(&c.Cluster.OutboxSize)

	cmd.Flag("query.timeout", "Time after which a query is ended. Default: barograph.query.timeout, else 2m.").
		PlaceHolder("DURATION").SetValue(&c.Query.Timeout)
	cmd.Flag("query.max-samples", "Most samples a query may hold in memory. Default: barograph.query.max_samples, else as many as its memory has room for.").
		PlaceHolder("N").IntVar(&c.Query.MaxSamples)
	cmd.Flag("query.max-concurrency", "Most queries that run at one time. Default: barograph.query.max_concurrency, else twice the cores.").
		PlaceHolder("N").IntVar(&c.Query.MaxConcurrency)
	cmd.Flag("query.lookback-delta", "How far back an instant selector looks for a sample. Default: barograph.query.lookback_delta, else 5m.").
		PlaceHolder("DURATION").SetValue(&c.Query.LookbackDelta)
	cmd.Flag("query.cache-bytes", "Memory for results of range queries, so that a dashboard that refreshes has only new steps computed; 0 keeps none. Default: barograph.query.cache_bytes, else a thirty-second of the memory, at most 256MiB.").
		PlaceHolder("SIZE").SetValue(&c.Query.CacheBytes)

	cmd.Flag("rules.alert.resend-delay", "Least time after which Alertmanagers are told of an alert again.").
		Default("1m").SetValue(&c.Rules.ResendDelay)
	cmd.Flag("rules.max-concurrent-evals", "Most groups of rules that the node evaluates at one time.").
		Default("16").IntVar(&c.Rules.MaxConcurrentEvals)
	cmd.Flag("rules.catch-up", "How late a group of rules is still evaluated for a time at which no node did.").
		Default("1h").SetValue(&c.Rules.CatchUp)
	cmd.Flag("rules.alert.grace", "How long alerts that are not found are held after a time in which no node evaluated rules.").
		Default("5m").SetValue(&c.Rules.Grace)

	cmd.Flag("enable-feature", "Comma-separated features, by Prometheus' names; may be repeated.").
		PlaceHolder("LIST").StringsVar(&c.Features)
}

// EnsureDefaults replaces zero values.
func (c *Config) EnsureDefaults() error {
	if c.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("ask for the host's name (give --node.name): %w", err)
		}
		c.Name = name
	}
	setDefault(&c.Storage.Path, "./data")
	setDefault(&c.Storage.WALSync, "batch")
	if len(c.Web.ListenAddresses) == 0 {
		c.Web.ListenAddresses = []string{":11013"}
	}
	c.Cluster.Join = split(c.Cluster.Join)
	if u, err := url.Parse(c.Web.ExternalURL); err == nil {
		setDefault(&c.Web.RoutePrefix, u.Path)
	}
	c.Web.RoutePrefix = "/" + strings.Trim(c.Web.RoutePrefix, "/")
	if c.Logger == nil {
		c.Logger = promslog.NewNopLogger()
	}
	if c.dropHold == 0 {
		c.dropHold = dropHold
	}
	if c.disk == nil {
		c.disk = vfs.Default
	}
	return nil
}

// Validate returns an error that names the flag it finds wrong.
func (c *Config) Validate() error {
	if _, err := wal.ParseMode(c.Storage.WALSync); err != nil {
		return fmt.Errorf("--storage.wal-sync: %w", err)
	}
	if u, err := url.Parse(c.Web.ExternalURL); c.Web.ExternalURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("--web.external-url: %q is not a URL (like https://barograph.example.org)", c.Web.ExternalURL)
	}
	switch {
	case c.Rules.MaxConcurrentEvals < 0:
		return errors.New("--rules.max-concurrent-evals must not be negative")
	case c.Query.MaxSamples < 0:
		return errors.New("--query.max-samples must not be negative")
	case c.Query.MaxConcurrency < 0:
		return errors.New("--query.max-concurrency must not be negative")
	case c.Cluster.Name == "" && (len(c.Cluster.Join) > 0 || c.Cluster.BootstrapExpect > 0):
		return errors.New("--cluster.join and --cluster.bootstrap-expect need --cluster.name")
	case c.Cluster.Name == "" && c.Cluster.trust() != trust.Options{}:
		return errors.New("--cluster.tls-... and --cluster.gossip-key-file need --cluster.name")
	case (c.Cluster.TLSCertFile == "") != (c.Cluster.TLSKeyFile == "") || (c.Cluster.TLSCertFile == "") != (c.Cluster.TLSCAFile == ""):
		return errors.New("--cluster.tls-cert-file, --cluster.tls-key-file and --cluster.tls-ca-file belong together: give all or none")
	case c.Cluster.TLSServerName != "" && c.Cluster.TLSCertFile == "":
		return errors.New("--cluster.tls-server-name needs --cluster.tls-cert-file")
	case strings.ContainsAny(c.Web.RoutePrefix, "?#{}"):
		return fmt.Errorf("--web.route-prefix: %q is not a path", c.Web.RoutePrefix)
	}
	return nil
}

// trust is what nodes know each other by.
func (c *ClusterConfig) trust() trust.Options {
	return trust.Options{
		CertFile: c.TLSCertFile, KeyFile: c.TLSKeyFile, CAFile: c.TLSCAFile,
		ServerName: c.TLSServerName, GossipKeyFile: c.GossipKeyFile,
	}
}

// override puts what the command line gives over what the file says.
func (c *Config) override(b Barograph) Barograph {
	over(&b.Retention.Time, c.Storage.Retention)
	over(&b.Retention.Size, c.Storage.RetentionSize)
	over(&b.Query.Timeout, c.Query.Timeout)
	over(&b.Query.MaxSamples, c.Query.MaxSamples)
	over(&b.Query.MaxConcurrency, c.Query.MaxConcurrency)
	over(&b.Query.CacheBytes, c.Query.CacheBytes)
	over(&b.Query.LookbackDelta, c.Query.LookbackDelta)
	return b
}

func over[T comparable](p *T, v T) {
	var zero T
	if v != zero {
		*p = v
	}
}

// features are the names given to --enable-feature.
func (c *Config) features() []string { return split(c.Features) }

// split returns the entries of lists that are separated by commas.
func split(lists []string) []string {
	var entries []string
	for _, list := range lists {
		for entry := range strings.SplitSeq(list, ",") {
			if entry = strings.TrimSpace(entry); entry != "" {
				entries = append(entries, entry)
			}
		}
	}
	return entries
}
