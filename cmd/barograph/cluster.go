package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/alecthomas/units"

	"github.com/barograph-db/barograph/cluster"
)

// clusterClient asks a node about its cluster.
type clusterClient struct {
	target
	node   string
	force  bool
	watch  bool
	format string
}

func clusterCommands(app *kingpin.Application) []command {
	group := app.Command("cluster", "Look at a cluster and change it.")
	c := &clusterClient{}

	status := group.Command("status", "Show nodes, zones, shards and moves, as one node sees them.")
	c.register(status)
	status.Flag("watch", "Show it anew every second until interrupted.").BoolVar(&c.watch)
	status.Flag("format", "table or json.").Default("table").EnumVar(&c.format, "table", "json")

	drain := group.Command("drain", "Have a node hand over all it holds; it may be stopped once it holds nothing.")
	c.register(drain)
	drain.Arg("node", "Name or ID of the node.").Required().StringVar(&c.node)

	remove := group.Command("remove", "Forget a node that is gone; others take over what it held.")
	c.register(remove)
	remove.Arg("node", "Name or ID of the node.").Required().StringVar(&c.node)
	remove.Flag("force", "Do so though it has the only replica of some shards, whose data are lost then.").BoolVar(&c.force)

	return []command{
		{clause: status, run: c.showStatus},
		{clause: drain, run: func(s streams) error {
			return c.change(s, "drain", "%s hands over what it holds: see barograph cluster status --watch\n")
		}},
		{clause: remove, run: func(s streams) error { return c.change(s, "remove", "%s is removed\n") }},
	}
}

// do sends a request and decodes the data of its answer.
func (c *clusterClient) do(ctx context.Context, method, action string, form url.Values, data any) error {
	base, err := c.base()
	if err != nil {
		return err
	}
	rt, err := c.transport()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, base.JoinPath("/api/v1/cluster/", action).String(), strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := (&http.Client{Transport: rt, Timeout: time.Minute}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	const most = 16 << 20
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s answers %s: %.200q", base, resp.Status, body)
	}
	if answer.Status != "success" {
		return errors.New(answer.Error)
	}
	if data == nil {
		return nil
	}
	return json.Unmarshal(answer.Data, data)
}

func (c *clusterClient) change(s streams, action, done string) error {
	form := url.Values{"node": {c.node}, "force": {fmt.Sprint(c.force)}}
	if err := c.do(context.Background(), http.MethodPost, action, form, nil); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, done, c.node)
	return err
}

func (c *clusterClient) showStatus(s streams) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for {
		var st cluster.Status
		if err := c.do(ctx, http.MethodGet, "status", nil, &st); err != nil {
			return err
		}
		if c.watch {
			fmt.Fprint(s.out, "\x1b[H\x1b[2J")
		}
		if err := c.print(s.out, &st); err != nil || !c.watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (c *clusterClient) print(w io.Writer, s *cluster.Status) error {
	if c.format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	}
	return printStatus(w, s, time.Now())
}

// printStatus prints a line about the region, the nodes as a table, and what is wrong.
func printStatus(w io.Writer, s *cluster.Status, now time.Time) error {
	fmt.Fprintf(w, "cluster %s, region %s, epoch %d: %d shards, replication factor %d\n\n",
		clean.Replace(s.Cluster), clean.Replace(s.Region), s.Epoch, s.Shards, s.ReplicationFactor)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NODE\tZONE\tADDRESS\tHEALTH\tFOR\tSTATE\tRAFT\tSHARDS\tFILLING\tVERSION\tID")
	foreign := 0
	for _, n := range s.Nodes {
		raft := "follower"
		switch {
		case n.ID == s.Leader:
			raft = "leader"
		case n.Voter:
			raft = "voter"
		}
		name := n.Name
		if n.ID == s.Self {
			name += " *"
		}
		health := n.Health
		if n.Incompatible && health == "alive" {
			health = "incompatible"
			foreign++
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", clean.Replace(name), clean.Replace(n.Zone), n.Address,
			health, now.Sub(n.Since).Round(time.Second), n.State, raft, n.Replicas, n.Filling, clean.Replace(n.Software), n.ID)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	lines := []struct {
		n    int
		text string
	}{
		{s.Moving, "moves are under way"},
		{s.Waiting, "moves have not begun"},
		{s.Thin, "shards have fewer living replicas than they are to have"},
		{s.Unwritable, "shards can't be written: too few of their replicas live"},
		{s.Unreadable, "shards can't be read: none of their replicas lives"},
		{foreign, "nodes speak no version of the protocol that this node speaks: upgrade the older first to a release that speaks both"},
	}
	if err := printMoves(w, s); err != nil {
		return err
	}
	fmt.Fprintln(w)
	quiet := true
	for _, l := range lines {
		if l.n > 0 {
			quiet = false
			fmt.Fprintf(w, "%d %s\n", l.n, l.text)
		}
	}
	switch {
	case s.RegionID == "":
		fmt.Fprintln(w, "This node belongs to no region yet: it waits for others, or to be taken in.")
	case s.Leader == "":
		fmt.Fprintln(w, "Nobody leads: writes and queries go on, changes wait.")
	case quiet:
		fmt.Fprintln(w, "All shards are whole.")
	}
	return nil
}

// printMoves prints a bar for each node that others hand shards to, and how much those hold still that
// hand over all they have.
func printMoves(w io.Writer, s *cluster.Status) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if i == 0 && s.Moving+s.Waiting > 0 {
			fmt.Fprintln(w)
		}
		name := clean.Replace(n.Name)
		if n.Filling+n.Waiting > 0 {
			share := filled(n)
			fmt.Fprintf(tw, "%s\t%s\t%3.0f%%\tfills %d shards, %d wait", name, bar(share), 100*share, n.Filling, n.Waiting)
			if c := n.Copy; c != nil {
				fmt.Fprintf(tw, "; %d of %d days, %s copied", c.DaysDone, c.DaysDone+c.DaysLeft, units.Base2Bytes(c.Bytes).Round(1))
			}
			fmt.Fprintln(tw)
		}
		if n.Leaving > 0 {
			fmt.Fprintf(tw, "%s\t\t\thands over %d shards\n", name, n.Leaving)
		}
	}
	return tw.Flush()
}

// filled is how much a node has of what it is to have. A shard that it is copying counts for as much as
// of its days are copied.
func filled(n *cluster.NodeStatus) float64 {
	have := float64(n.Replicas - n.Filling)
	if c := n.Copy; c != nil && c.DaysDone+c.DaysLeft > 0 {
		have += float64(n.Filling) * float64(c.DaysDone) / float64(c.DaysDone+c.DaysLeft)
	}
	return have / float64(n.Replicas+n.Waiting)
}

func bar(share float64) string {
	const width = 30
	full := int(share * width)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}
