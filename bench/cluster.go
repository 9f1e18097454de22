package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// layout is how many nodes a cluster has, and how many of them hold each shard. The layout 0x0 is a node
// that is of no cluster.
type layout struct{ nodes, factor int }

func (s layout) String() string {
	if s.nodes == 0 {
		return "a node on its own"
	}
	return fmt.Sprintf("nodes: %d, replicas: %d", s.nodes, s.factor)
}

// layouts returns those of a list such as 0x0,3x1,3x3.
func layouts(list string) ([]layout, error) {
	var all []layout
	for text := range strings.SplitSeq(list, ",") {
		var s layout
		nodes, factor, ok := strings.Cut(text, "x")
		var err, err2 error
		s.nodes, err = strconv.Atoi(nodes)
		s.factor, err2 = strconv.Atoi(factor)
		if !ok || err != nil || err2 != nil || s.nodes < 0 || s.nodes > 16 || s.factor < 0 {
			return nil, fmt.Errorf("%q is no layout of a cluster: want NODESxREPLICAS", text)
		}
		all = append(all, s)
	}
	return all, nil
}

// clusterResult is what was measured of all nodes of a cluster together.
type clusterResult struct {
	layout  layout
	samples int64
	cpu     time.Duration // of ingest
	remote  float64       // samples sent to other nodes
	wire    float64       // bytes sent between nodes while they were
	idle    float64       // bytes a second that a node sends when nothing happens
	queries result        // only its queries and failures
	fetched float64       // bytes that the node that was asked got from others, a query
	missing int64
}

// runClusters measures each layout with the data of a scenario, and prints a table.
func (c *config) runClusters(ctx context.Context, out io.Writer, s *scenario, all []layout) error {
	rec, err := c.encode(s)
	if err != nil {
		return err
	}
	defer rec.file.Close()
	var results []*clusterResult
	for _, sh := range all {
		progress("load %s", sh)
		r, err := c.measureCluster(ctx, s, sh, rec)
		if err != nil {
			return fmt.Errorf("%s: %w", sh, err)
		}
		results = append(results, r)
	}
	printClusters(out, s, rec, results)
	return nil
}

func (c *config) measureCluster(ctx context.Context, sc *scenario, sh layout, rec *recording) (*clusterResult, error) {
	dir, err := c.fresh("cluster")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	nodes, err := c.startCluster(ctx, sh, dir)
	defer func() {
		for _, s := range nodes {
			s.stop()
		}
	}()
	if err != nil {
		return nil, err
	}
	r := &clusterResult{layout: sh}
	if sh.nodes > 1 {
		if r.idle, err = idleRate(ctx, nodes); err != nil {
			return nil, err
		}
	}
	before, sent, remote, err := spent(ctx, nodes)
	if err != nil {
		return nil, err
	}
	if _, r.samples, err = load(ctx, nodes, rec, rec.plan.conns); err != nil {
		return nil, err
	}
	after, sentAfter, remoteAfter, err := spent(ctx, nodes)
	if err != nil {
		return nil, err
	}
	r.cpu, r.wire, r.remote = after-before, sentAfter-sent, remoteAfter-remote
	if r.missing, err = missing(ctx, nodes[0], rec, rec.perSer); err != nil {
		return nil, fmt.Errorf("count samples: %w", err)
	}
	return r, c.askCluster(ctx, nodes, sc, rec, r)
}

// startCluster starts the nodes of a cluster, each at a loopback address of its own.
func (c *config) startCluster(ctx context.Context, sh layout, dir string) (nodes []*server, err error) {
	plain := c.targets[0]
	if sh.nodes == 0 {
		s, err := start(ctx, plain, filepath.Join(dir, "n1"))
		if err != nil {
			return nil, err
		}
		return []*server{s}, nil
	}
	hosts, ports := make([]string, sh.nodes), make([][2]string, sh.nodes)
	var join []string
	for i := range hosts {
		hosts[i] = fmt.Sprintf("127.0.0.%d", i+1)
		for j := range ports[i] {
			if ports[i][j], err = freePort(hosts[i]); err != nil {
				return nil, err
			}
		}
		join = append(join, net.JoinHostPort(hosts[i], ports[i][0]))
	}
	nodes = make([]*server, sh.nodes)
	var g errgroup.Group // None is ready before all are there.
	for i := range nodes {
		t := plain
		t.args = func(dir, addr string) ([]string, error) {
			args, err := plain.args(dir, addr)
			return append(args, "--node.name=n"+strconv.Itoa(i+1), "--cluster.name=bench", "--cluster.advertise-host="+hosts[i],
				"--cluster.gossip-address="+net.JoinHostPort(hosts[i], ports[i][0]),
				"--cluster.rpc-address="+net.JoinHostPort(hosts[i], ports[i][1]),
				"--cluster.join="+strings.Join(join, ","), "--cluster.bootstrap-expect="+strconv.Itoa(sh.nodes),
				"--cluster.replication-factor="+strconv.Itoa(sh.factor)), err
		}
		g.Go(func() (err error) {
			nodes[i], err = start(ctx, t, filepath.Join(dir, "n"+strconv.Itoa(i+1)))
			return err
		})
	}
	if err = g.Wait(); err != nil {
		var up []*server
		for _, s := range nodes {
			if s != nil {
				up = append(up, s)
			}
		}
		return up, err
	}
	return nodes, nil
}

// freePort is one that is free at an address, for TCP and UDP.
func freePort(host string) (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", host+":0")
		if err != nil {
			return "", err
		}
		addr := l.Addr().String()
		u, err := net.ListenPacket("udp", addr)
		l.Close()
		if err == nil {
			_ = u.Close()
			_, port, err := net.SplitHostPort(addr)
			return port, err
		}
	}
	return "", errors.New("no port is free for both TCP and UDP")
}

// spent is what all nodes have used so far: CPU time, bytes sent to each other by RPC, samples sent.
func spent(ctx context.Context, nodes []*server) (cpu time.Duration, sent, remote float64, err error) {
	for _, s := range nodes {
		u, err := s.usage()
		if err != nil {
			return 0, 0, 0, err
		}
		cpu += u.cpu
		for _, m := range []struct {
			name string
			sum  *float64
		}{
			{"barograph_rpc_sent_bytes_total", &sent},
			{`barograph_router_samples_total{target="remote"}`, &remote},
		} {
			v, err := s.metric(ctx, m.name)
			if err != nil {
				return 0, 0, 0, err
			}
			*m.sum += v
		}
	}
	return cpu, sent, remote, nil
}

// metric reads one of the server's own; 0 if it has none of the name.
func (s *server) metric(ctx context.Context, name string) (float64, error) {
	_, body, err := get(ctx, "http://"+s.addr+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(rest), 64)
		}
	}
	return 0, nil
}

// idleFor is how long nodes are left alone to see what they say to each other then.
const idleFor = 20 * time.Second

// idleRate is how many bytes a node sends a second, by RPC and gossip, when nobody asks it anything.
func idleRate(ctx context.Context, nodes []*server) (float64, error) {
	sum := func() (all float64, err error) {
		for _, s := range nodes {
			for _, name := range []string{
				"barograph_rpc_sent_bytes_total",
				`barograph_gossip_bytes_total{direction="sent",over="packet"}`, `barograph_gossip_bytes_total{direction="sent",over="stream"}`,
			} {
				v, err := s.metric(ctx, name)
				if err != nil {
					return 0, err
				}
				all += v
			}
		}
		return all, nil
	}
	before, err := sum()
	if err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(idleFor):
	}
	after, err := sum()
	return (after - before) / idleFor.Seconds() / float64(len(nodes)), err
}

// askCluster asks the first node all questions, and takes the CPU time of all nodes.
func (c *config) askCluster(ctx context.Context, nodes []*server, sc *scenario, rec *recording, r *clusterResult) error {
	asked := 0
	received := func() (float64, error) { return nodes[0].metric(ctx, "barograph_rpc_received_bytes_total") }
	begin, err := received()
	if err != nil {
		return err
	}
	for _, q := range questions(sc, rec) {
		if _, err := nodes[0].query(ctx, rangePath, q.form()); err != nil { // Also warms up.
			r.queries.failures = append(r.queries.failures, fmt.Sprintf("%s: %v", q.query, err))
		}
		before, _, _, err := spent(ctx, nodes)
		if err != nil {
			return err
		}
		n, start := 0, time.Now()
		for n < c.repeat || time.Since(start) < 200*time.Millisecond {
			if _, _, err := nodes[0].ask(ctx, rangePath, q.form()); err != nil {
				return err
			}
			n++
		}
		after, _, _, err := spent(ctx, nodes)
		if err != nil {
			return err
		}
		r.queries.queries = append(r.queries.queries, (after-before)/time.Duration(n))
		asked += n + 1
	}
	end, err := received()
	r.fetched = (end - begin) / float64(max(asked, 1))
	return err
}

// printClusters prints a line for each layout; ratios are to the first one.
func printClusters(out io.Writer, s *scenario, rec *recording, results []*clusterResult) {
	fmt.Fprintf(out, "%d series, %d samples, scenario %s; CPU of all nodes together\n\n", rec.series, results[0].samples, s.name)
	fmt.Fprintln(out, "| | ingest ns/sample | × | wire B/sample and remote replica | idle B/s and node | query ms | × | fetched kB/query | samples missing |")
	fmt.Fprintln(out, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	first := results[0]
	perSample := func(r *clusterResult) float64 { return float64(r.cpu) / float64(r.samples) }
	for _, r := range results {
		wire := 0.0
		if r.remote > 0 {
			wire = r.wire / r.remote
		}
		ratio := 0.0
		if m := first.queries.queryMean(); m > 0 {
			ratio = r.queries.queryMean() / m
		}
		fmt.Fprintf(out, "| %s | %.0f | %.2f | %.2f | %.0f | %.2f | %.2f | %.1f | %d |\n", r.layout, perSample(r), perSample(r)/perSample(first),
			wire, r.idle, r.queries.queryMean(), ratio, r.fetched/1000, r.missing)
		for _, f := range r.queries.failures {
			fmt.Fprintf(out, "\n%s: %s\n", r.layout, f)
		}
	}
}
