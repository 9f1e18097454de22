package dedup

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/series"
)

var update = flag.Bool("update", false, "rewrite golden files")

func pairs(ss ...string) []series.Pair {
	var ps []series.Pair
	for i := 0; i < len(ss); i += 2 {
		ps = append(ps, series.Pair{Name: []byte(ss[i]), Value: []byte(ss[i+1])})
	}
	return ps
}

var errNoQuorum = errors.New("no quorum")

// nodes share a log: what one proposes all apply, the others lag later.
type nodes struct {
	t      *testing.T
	list   []*Elections
	tables []*Table
	begin  time.Time
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex
	off bool
	lag time.Duration
	// applying is held by each table's followers, so that all apply in one order.
	queues []chan []byte
}

func newNodes(t *testing.T, n int, opts Options) *nodes {
	c := &nodes{t: t, begin: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	c.cancel = cancel
	for i := range n {
		o := opts
		o.Propose = func(ctx context.Context, command []byte) ([]byte, error) { return c.propose(ctx, i, command) }
		o.Registerer = prometheus.NewPedanticRegistry()
		table := NewTable()
		e, err := New(table, o)
		require.NoError(t, err)
		c.list, c.tables = append(c.list, e), append(c.tables, table)
		q := make(chan []byte, 1000)
		c.queues = append(c.queues, q)
		c.wg.Go(func() { _ = e.Run(ctx) })
		c.wg.Go(func() { c.follow(ctx, table, q) })
	}
	return c
}

func (c *nodes) stop() {
	c.cancel()
	c.wg.Wait()
}

// propose has the command applied by node 0, which leads, and the others after it.
func (c *nodes) propose(ctx context.Context, _ int, command []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return nil, errNoQuorum
	}
	for _, q := range c.queues[1:] {
		q <- command
	}
	return c.tables[0].Apply(command), nil
}

func (c *nodes) follow(ctx context.Context, t *Table, q chan []byte) {
	for {
		select {
		case command := <-q:
			c.mu.Lock()
			lag := c.lag
			c.mu.Unlock()
			select {
			case <-time.After(lag):
				t.Apply(command)
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// send gives node i a batch of a replica's, with a sample at t, as the Writer does.
func (c *nodes) send(i int, pair, replica string, t int64) ingest.Verdict {
	e := c.list[i]
	_, o, err := e.Origin(pairs("__name__", "x", "cluster", pair, "__replica__", replica))
	require.NoError(c.t, err)
	v := e.Judge(c.t.Context(), o)
	require.True(c.t, v.Known)
	newest := int64(math.MinInt64)
	left := ingest.Counts{Samples: 1}
	if v.Refused == nil && t > v.After {
		newest, left = t, ingest.Counts{}
	}
	if v.Refused == nil {
		e.Took(o, newest, left)
	}
	return v
}

// describe prints what became of a sample.
func (c *nodes) describe(v ingest.Verdict, t int64) string {
	switch {
	case v.Refused != nil:
		return "refused " + v.Refused.Reason.Name()
	case v.After == ingest.NoSamples:
		return "left out"
	case v.After == math.MinInt64:
		return "taken"
	case t <= v.After:
		return "too early, after " + time.UnixMilli(v.After).Sub(c.begin).String()
	}
	return "taken, after " + time.UnixMilli(v.After).Sub(c.begin).String()
}

// run performs a line of a script:
//
//	30s n1 a [27s]   at 30 s node 1 gets a sample of replica a (of pair p, unless as pair/a), of that time or of 27 s
//	30s quorum off   or on
//	30s lag 2s       followers hear of what is agreed so much later
func (c *nodes) run(line string) string {
	f := strings.Fields(line)
	at, err := time.ParseDuration(f[0])
	require.NoError(c.t, err, line)
	time.Sleep(time.Until(c.begin.Add(at)))
	synctest.Wait()
	switch f[1] {
	case "quorum":
		c.mu.Lock()
		c.off = f[2] == "off"
		c.mu.Unlock()
		return ""
	case "lag":
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lag, err = time.ParseDuration(f[2])
		require.NoError(c.t, err)
		return ""
	}
	i, err := strconv.Atoi(strings.TrimPrefix(f[1], "n"))
	require.NoError(c.t, err, line)
	pair, replica, ok := strings.Cut(f[2], "/")
	if !ok {
		pair, replica = "p", f[2]
	}
	t := c.begin.Add(at)
	if len(f) > 3 {
		d, err := time.ParseDuration(f[3])
		require.NoError(c.t, err)
		t = c.begin.Add(d)
	}
	return c.describe(c.send(i-1, pair, replica, t.UnixMilli()), t.UnixMilli())
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			var out strings.Builder
			synctest.Test(t, func(t *testing.T) {
				c := newNodes(t, 2, Options{Settings: Settings{MaxClusters: 2}})
				defer c.stop()
				for line := range strings.Lines(string(text)) {
					line, _, _ = strings.Cut(strings.TrimRight(line, "\n"), " => ")
					if line == "" || line[0] == '#' {
						fmt.Fprintln(&out, line)
						continue
					}
					if got := c.run(line); got != "" {
						line += " => " + got
					}
					fmt.Fprintln(&out, line)
				}
			})
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(out.String()), 0o644))
				return
			}
			require.Equal(t, string(text), out.String())
		})
	}
}
