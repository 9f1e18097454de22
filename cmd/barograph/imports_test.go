package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/barograph-db/barograph"

// edges are the imports allowed between our packages, each with its reason. Everything not here is
// refused. Paths are below the module's; "storage" is the package storage alone.
var edges = []struct{ from, to, why string }{
	{"cmd/barograph", "cluster", "it prints what a node tells of its cluster"},
	{"cmd/barograph", "cmd/barograph/node", "the command line starts nodes"},
	{"cmd/barograph", "querier/explain", "and prints how answers came about"},
	{"cmd/barograph", "cmd/barograph/scratch", "tests of rules have a database"},
	{"cmd/barograph", "ruler/rules", "it checks rule files, and evaluates them over the past"},
	{"cmd/barograph", "ruler/unittest", "it runs tests of rules"},

	{"cmd/barograph/node", "cluster", "the node takes part in a cluster"},
	{"cmd/barograph/node", "cluster/consensus", "whose nodes agree on more than the cluster itself knows of"},
	{"cmd/barograph/node", "cluster/durable", "and keeps whom it trusts in a file"},
	{"cmd/barograph/node", "cluster/move", "shards move to it"},
	{"cmd/barograph/node", "cluster/placement", "whose nodes have IDs"},
	{"cmd/barograph/node", "cluster/repair", "and what its replicas lack is fetched"},
	{"cmd/barograph/node", "cluster/rpc", "and serves what the others ask"},
	{"cmd/barograph/node", "cluster/throttle", "moves and repair share a rate"},
	{"cmd/barograph/node", "cluster/trust", "with certificates and keys from files"},
	{"cmd/barograph/node", "ingest", "the node puts the write path together"},
	{"cmd/barograph/node", "ingest/dedup", "and who of an HA pair is stored"},
	{"cmd/barograph/node", "ingest/intake", "and what its handlers have in common"},
	{"cmd/barograph/node", "ingest/limit", "and its limits"},
	{"cmd/barograph/node", "ingest/outbox", "what others could not take is kept"},
	{"cmd/barograph/node", "ingest/gather", "small frames share records of the log"},
	{"cmd/barograph/node", "ingest/router", "frames go to their shards' nodes"},
	{"cmd/barograph/node", "ingest/stream", "by streams"},
	{"cmd/barograph/node", "ingest/remotewrite", "and mounts the ways in"},
	{"cmd/barograph/node", "ingest/textimport", "and mounts the ways in"},
	{"cmd/barograph/node", "querier", "the node puts the query path together"},
	{"cmd/barograph/node", "querier/api", "and mounts its API"},
	{"cmd/barograph/node", "querier/leaf", "which asks other nodes"},
	{"cmd/barograph/node", "querier/leaf/wire", "by streams"},
	{"cmd/barograph/node", "querier/plan", "as it sees them"},
	{"cmd/barograph/node", "ruler", "the node evaluates rules"},
	{"cmd/barograph/node", "ruler/alert", "shows alerts"},
	{"cmd/barograph/node", "ruler/assign", "says which nodes there are for it"},
	{"cmd/barograph/node", "ruler/ledger", "has the nodes agree upon them"},
	{"cmd/barograph/node", "ruler/notify", "tells Alertmanagers of them"},
	{"cmd/barograph/node", "ruler/rules", "and reads rule files"},
	{"cmd/barograph/node", "storage", "the node opens the storage"},
	{"cmd/barograph/node", "storage/chunk", "what moves is accounted for"},
	{"cmd/barograph/node", "storage/frame", "its own metrics are metadata too"},
	{"cmd/barograph/node", "storage/head", "the head's figures are shown by the API"},
	{"cmd/barograph/node", "storage/index", "the index's figures are shown by the API"},
	{"cmd/barograph/node", "storage/series", "its own metrics are series"},
	{"cmd/barograph/node", "storage/wal", "a flag names a mode of the log; its events are logged"},

	{"cluster", "cluster/consensus", "a cluster agrees on its placement"},
	{"cluster", "cluster/durable", "keeps a node's ID in a file"},
	{"cluster", "cluster/gossip", "knows who is there"},
	{"cluster", "cluster/placement", "decides where shards are"},
	{"cluster", "cluster/rpc", "and reaches its nodes"},
	{"cluster", "cluster/trust", "that it trusts"},
	{"cluster", "storage/series", "shards are counted"},
	{"cluster/consensus", "cluster/placement", "a server is a node"},
	{"cluster/consensus", "storage/patience", "its log waits when the disk is full"},
	{"cluster/gossip", "cluster/placement", "members are nodes of placements"},
	{"cluster/move", "cluster/durable", "keeps its progress in a file"},
	{"cluster/move", "cluster/placement", "what is to be filled is in the placement"},
	{"cluster/move", "cluster/throttle", "within the rate that is allowed"},
	{"cluster/move", "storage/series", "by shards"},
	{"cluster/placement", "storage/series", "a placement is of shards"},
	{"cluster/repair", "cluster/durable", "keeps what it knows in a file"},
	{"cluster/repair", "cluster/placement", "replicas are in the placement"},
	{"cluster/repair", "cluster/throttle", "within the rate that is allowed"},
	{"cluster/repair", "storage/series", "by shards, whose samples have digests"},
	{"cluster/rpc", "cluster/placement", "a peer has a node's ID"},
	{"cluster/trust", "cluster/durable", "reads files of bounded size"},

	{"cmd/barograph/scratch", "querier", "queries are answered as by a node"},
	{"cmd/barograph/scratch", "ruler", "samples are a rule's"},
	{"cmd/barograph/scratch", "storage", "which are stored as by a node"},
	{"cmd/barograph/scratch", "storage/frame", "in frames"},
	{"cmd/barograph/scratch", "storage/series", "of series"},
	{"cmd/barograph/scratch", "storage/wal", "without syncs, since there is no disk"},

	{"cmd/barotool", "storage", "the kinds of the log's records"},
	{"cmd/barotool", "storage/block", "it prints parts"},
	{"cmd/barotool", "storage/chunk", "their chunks"},
	{"cmd/barotool", "storage/frame", "frames"},
	{"cmd/barotool", "storage/head", "checkpoints of the head"},
	{"cmd/barotool", "storage/keys", "what lies under keys"},
	{"cmd/barotool", "storage/series", "series"},
	{"cmd/barotool", "storage/wal", "and the log's files"},

	{"ingest", "storage/frame", "the write path ends in a frame"},
	{"ingest", "storage/series", "of series"},
	{"ingest/dedup", "cluster/durable", "keeps elections in a file"},
	{"ingest/dedup", "ingest", "it judges where series come from"},
	{"ingest/dedup", "storage/series", "by their labels"},
	{"ingest/intake", "ingest", "refusals have reasons"},
	{"ingest/intake", "ingest/limit", "bodies are bounded"},
	{"ingest/limit", "ingest", "a limit is an Appender"},
	{"ingest/limit", "storage/frame", "metadata are bounded"},
	{"ingest/outbox", "cluster/placement", "peers have IDs"},
	{"ingest/outbox", "storage/frame", "what is kept is frames"},
	{"ingest/outbox", "storage/patience", "it waits when the disk is full"},
	{"ingest/outbox", "storage/series", "of series"},
	{"ingest/quorum", "cluster/placement", "replicas and zones are a placement's"},
	{"ingest/quorum", "storage/series", "and shards are of series"},
	{"ingest/remotewrite", "ingest", "a way in makes batches"},
	{"ingest/remotewrite", "ingest/intake", "of bodies"},
	{"ingest/remotewrite", "ingest/limit", "within limits"},
	{"ingest/remotewrite", "storage/frame", "histograms and exemplars are a frame's"},
	{"ingest/remotewrite", "storage/series", "labels are pairs"},
	{"ingest/gather", "storage/frame", "it puts frames together"},
	{"ingest/stream", "cluster/placement", "streams come from nodes"},
	{"ingest/stream", "storage/frame", "they carry frames"},
	{"ingest/stream", "storage/series", "of series"},
	{"ingest/router", "cluster/placement", "it routes by the placement"},
	{"ingest/router", "ingest", "it is a Store over this node's, and refuses by reasons"},
	{"ingest/router", "ingest/quorum", "it waits until enough replicas have acknowledged"},
	{"ingest/router", "storage/frame", "it splits frames"},
	{"ingest/router", "storage/series", "by the fingerprints of series"},
	{"ingest/textimport", "ingest", "a way in makes batches"},
	{"ingest/textimport", "ingest/intake", "of bodies"},
	{"ingest/textimport", "ingest/limit", "within limits"},
	{"ingest/textimport", "storage/frame", "histograms and exemplars are a frame's"},
	{"ingest/textimport", "storage/series", "labels are pairs"},

	{"querier", "cluster/placement", "nodes have identities"},
	{"querier", "querier/cache", "the engine keeps results of range queries"},
	{"querier", "querier/eval", "the engine evaluates over columns"},
	{"querier", "querier/explain", "says by what it was answered"},
	{"querier", "querier/fanout", "asks nodes"},
	{"querier", "querier/leaf", "this one by a call"},
	{"querier", "querier/leaf/wire", "it answers other nodes within its limits"},
	{"querier", "querier/merge", "joins what they answer"},
	{"querier", "querier/plan", "by a plan"},
	{"querier", "storage/changes", "results are kept until samples are changed"},
	{"querier", "storage/cardinality", "it counts what series have"},
	{"querier", "storage/chunk", "answers are chunks"},
	{"querier", "storage/frame", "exemplars and metadata are a frame's"},
	{"querier", "storage/series", "questions are selectors"},
	{"querier/api", "querier", "the API asks the engine"},
	{"querier/api", "querier/explain", "answers may be explained"},
	{"querier/api", "storage/cardinality", "and shows it"},
	{"querier/api", "storage/chunk", "remote read streams chunks as they lie"},
	{"querier/api", "storage/frame", "exemplars and metadata are a frame's"},
	{"querier/api", "storage/series", "federation reads series"},
	{"querier/cache", "cluster/placement", "what was changed is known by node"},
	{"querier/cache", "querier/partial", "values are columns"},
	{"querier/cache", "storage/changes", "a step goes once it sees a change"},
	{"querier/eval", "querier/partial", "series are added to partial aggregates"},
	{"querier/eval", "storage/chunk", "columns come from chunks"},
	{"querier/eval", "storage/series", "of series"},
	{"querier/explain", "querier/leaf", "nodes say what they did"},
	{"querier/explain", "querier/plan", "as a plan asked them to"},
	{"querier/explain", "storage/chunk", "how long series take to read"},
	{"querier/fanout", "querier/explain", "it says whom it asks"},
	{"querier/fanout", "querier/leaf", "a node is asked through its leaf"},
	{"querier/fanout", "querier/merge", "several answer in the place of one"},
	{"querier/fanout", "querier/plan", "as the plan says"},
	{"querier/fanout", "storage/cardinality", "answers may be counts of what series have"},
	{"querier/fanout", "storage/chunk", "answers are chunks"},
	{"querier/fanout", "storage/frame", "exemplars and metadata are a frame's"},
	{"querier/fanout", "storage/series", "questions are selectors"},
	{"querier/leaf", "querier/eval", "which may compute over what it holds"},
	{"querier/leaf", "storage/changes", "a node tells what was changed"},
	{"querier/leaf", "storage/cardinality", "it counts what series have"},
	{"querier/leaf", "storage/chunk", "answers are chunks"},
	{"querier/leaf", "storage/frame", "exemplars and metadata are a frame's"},
	{"querier/leaf", "storage/series", "questions are selectors"},
	{"querier/leaf/wire", "querier/eval", "which is sent expressions"},
	{"querier/leaf/wire", "querier/leaf", "another node is a leaf's"},
	{"querier/leaf/wire", "querier/partial", "and answers with partial aggregates"},
	{"querier/leaf/wire", "storage/changes", "and tell what was changed"},
	{"querier/leaf/wire", "storage/cardinality", "or with counts of what series have"},
	{"querier/leaf/wire", "storage/chunk", "answers are chunks"},
	{"querier/leaf/wire", "storage/frame", "exemplars and metadata are a frame's"},
	{"querier/leaf/wire", "storage/series", "questions are selectors"},
	{"querier/merge", "storage/chunk", "it joins chunks"},
	{"querier/merge", "storage/series", "of series"},
	{"querier/partial", "storage/chunk", "partial aggregates are packed like chunks"},
	{"querier/partial", "storage/series", "groups have labels"},
	{"querier/plan", "cluster/placement", "a plan reads replicas"},
	{"querier/plan", "storage/series", "a plan covers shards"},
	{"querier/queriertest", "cluster/placement", "tests have clusters"},
	{"querier/queriertest", "querier", "a storage for tests of the engine"},
	{"querier/queriertest", "querier/leaf", "which is a leaf's"},
	{"querier/queriertest", "querier/leaf/wire", "whose nodes ask each other"},
	{"querier/queriertest", "querier/plan", "as plans say"},
	{"querier/queriertest", "storage/cardinality", "it counts what series have"},
	{"querier/queriertest", "storage/chunk", "and answers in chunks"},
	{"querier/queriertest", "storage/frame", "exemplars and metadata are a frame's"},
	{"querier/queriertest", "storage/series", "of series"},

	{"ruler", "ruler/alert", "rules come to alerts"},
	{"ruler", "ruler/assign", "groups are given to nodes"},
	{"ruler", "ruler/ledger", "by agreement"},
	{"ruler", "ruler/rules", "rules have been read"},
	{"ruler/alert", "ruler/rules", "alerts are of rules"},
	{"ruler/assign", "ruler/rules", "groups have keys"},
	{"ruler/ledger", "ruler/alert", "alerts are agreed upon"},
	{"ruler/ledger", "ruler/rules", "by rule"},
	{"ruler/unittest", "ruler", "tests run what nodes run"},
	{"ruler/unittest", "ruler/alert", "they look at alerts"},
	{"ruler/unittest", "ruler/rules", "of rules"},

	{"storage", "storage/block", "the storage flushes into parts"},
	{"storage", "storage/changes", "remembers what was changed"},
	{"storage", "storage/cardinality", "counts what series have"},
	{"storage", "storage/chunk", "of chunks"},
	{"storage", "storage/frame", "takes frames"},
	{"storage", "storage/head", "holds the newest in memory"},
	{"storage", "storage/index", "and its figures"},
	{"storage", "storage/keys", "knows its own keys"},
	{"storage", "storage/patience", "waits when the disk is full"},
	{"storage", "storage/series", "answers selectors"},
	{"storage", "storage/wal", "and logs"},
	{"storage/block", "storage/chunk", "a part holds chunks"},
	{"storage/block", "storage/index", "and an index"},
	{"storage/block", "storage/keys", "under keys"},
	{"storage/block", "storage/series", "of series"},
	{"storage/chunk", "storage/series", "a chunk is of a series"},
	{"storage/frame", "storage/series", "a frame addresses series"},
	{"storage/head", "storage/changes", "what is put in is told"},
	{"storage/head", "storage/chunk", "the head holds chunks"},
	{"storage/head", "storage/cardinality", "counts what series have"},
	{"storage/head", "storage/frame", "takes frames"},
	{"storage/head", "storage/index", "has an index"},
	{"storage/head", "storage/series", "of series"},
	{"storage/index", "storage/cardinality", "it knows best what series have"},
	{"storage/index", "storage/series", "an index is of series"},
	{"storage/keys", "storage/series", "a key names a shard"},
	{"storage/storagetest", "storage/chunk", "the oracle answers in chunks"},
	{"storage/storagetest", "storage/frame", "and takes frames"},
	{"storage/storagetest", "storage/series", "of series"},
}

// forbidden are imports that no package of ours may have outside tests, directly or through
// others: they link the clients of a dozen clouds, or a second storage.
var forbidden = []string{
	"github.com/prometheus/prometheus/config",
	"github.com/prometheus/prometheus/discovery",
	"github.com/prometheus/prometheus/notifier",
	"github.com/prometheus/prometheus/rules",
	"github.com/prometheus/prometheus/scrape",
	"github.com/prometheus/prometheus/storage/remote",
	"github.com/prometheus/prometheus/tsdb", // Its parts chunkenc, chunks and fileutil are small and fine.
	"github.com/prometheus/prometheus/web",
	"github.com/aws/", "github.com/Azure/", "cloud.google.com/", "google.golang.org/api/", "k8s.io/",
}

var allowedDespite = []string{
	"github.com/prometheus/prometheus/tsdb/chunkenc",
	"github.com/prometheus/prometheus/tsdb/chunks",
	"github.com/prometheus/prometheus/tsdb/fileutil",

	// Alertmanagers are found by files and DNS. What Prometheus' discovery links of Kubernetes is its
	// metrics and log, not its clients.
	"github.com/prometheus/prometheus/discovery",
	"github.com/prometheus/prometheus/discovery/dns",
	"github.com/prometheus/prometheus/discovery/file",
	"github.com/prometheus/prometheus/discovery/refresh",
	"github.com/prometheus/prometheus/discovery/targetgroup",
	"k8s.io/apimachinery/pkg/util/runtime",
	"k8s.io/apimachinery/pkg/util/sets",
	"k8s.io/client-go/tools/metrics",
	"k8s.io/client-go/util/workqueue",
	"k8s.io/klog/v2",
	"k8s.io/klog/v2/internal/buffer",
	"k8s.io/klog/v2/internal/clock",
	"k8s.io/klog/v2/internal/dbg",
	"k8s.io/klog/v2/internal/serialize",
	"k8s.io/klog/v2/internal/severity",
	"k8s.io/klog/v2/internal/sloghandler",
	"k8s.io/klog/v2/internal/verbosity",
	"k8s.io/klog/v2/textlogger",
	"k8s.io/utils/clock",
}

// testOnly are packages that only tests import, and that may import what tests may.
var testOnly = []string{"cluster/simnet", "cluster/trust/trusttest", "querier/queriertest", "storage/storagetest"}

type listedPackage struct {
	ImportPath, Name, Doc string
	GoFiles, Imports      []string
}

// goList runs go list in the module's root.
func goList(t *testing.T, args ...string) []listedPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Name,Doc,GoFiles,Imports"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go list: %s", exit.Stderr)
	}
	require.NoError(t, err)
	var pkgs []listedPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImportEdges(t *testing.T) {
	allowed := map[[2]string]bool{}
	for _, e := range edges {
		require.NotEmpty(t, e.why, "%s -> %s", e.from, e.to)
		require.False(t, allowed[[2]string{e.from, e.to}], "%s -> %s is listed twice", e.from, e.to)
		allowed[[2]string{e.from, e.to}] = true
	}
	for _, p := range goList(t, "./...") {
		from := strings.TrimPrefix(p.ImportPath, modulePath+"/")
		for _, imp := range p.Imports {
			if to, ours := strings.CutPrefix(imp, modulePath+"/"); ours && !allowed[[2]string{from, to}] {
				t.Errorf("%s imports %s, which is not among the allowed edges", from, to)
			}
		}
	}
}

func TestImportsOfOthers(t *testing.T) {
	for _, p := range goList(t, "-deps", "./cmd/...") {
		if slices.Contains(allowedDespite, p.ImportPath) {
			continue
		}
		for _, f := range forbidden {
			if p.ImportPath == strings.TrimSuffix(f, "/") || strings.HasPrefix(p.ImportPath, strings.TrimSuffix(f, "/")+"/") {
				t.Errorf("%s is linked into the binary", p.ImportPath)
			}
		}
	}
	for _, p := range goList(t, "./...") {
		from := strings.TrimPrefix(p.ImportPath, modulePath+"/")
		for _, to := range testOnly {
			if slices.Contains(p.Imports, modulePath+"/"+to) && !slices.Contains(testOnly, from) {
				t.Errorf("%s imports %s, which is for tests", from, to)
			}
		}
	}
}

// Every package says in doc.go what it is for.
func TestDocsOfPackages(t *testing.T) {
	for _, p := range goList(t, "./...") {
		if len(p.GoFiles) == 0 {
			continue
		}
		if !slices.Contains(p.GoFiles, "doc.go") || p.Doc == "" {
			t.Errorf("%s has no doc.go with a package comment", p.ImportPath)
		}
	}
}
