package dedup

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ingest"
)

func TestOptions(t *testing.T) {
	var o Options
	o.EnsureDefaults()
	require.NoError(t, o.Validate())
	require.Equal(t, Settings{30 * time.Second, 10 * time.Second, 1000}, o.Settings)
	for _, o := range []Options{
		{ClusterLabel: "x", ReplicaLabel: "x"},
		{ReplicaLabel: "__name__"},
		{Settings: Settings{Failover: time.Second}},
		{Settings: Settings{Failover: 48 * time.Hour}},
		{Settings: Settings{Update: time.Millisecond}},
		{Settings: Settings{Update: 25 * time.Second}},
		{Settings: Settings{MaxClusters: -1}},
	} {
		o.EnsureDefaults()
		require.Error(t, o.Validate(), "%+v", o)
	}
	short := Settings{Failover: 8 * time.Second}
	short.EnsureDefaults()
	require.NoError(t, short.Validate())
	_, err := New(NewTable(), Options{})
	require.Error(t, err, "nobody agrees")
}

func newElections(t *testing.T) *Elections {
	t.Helper()
	table := NewTable()
	e, err := New(table, Options{
		Propose:    func(_ context.Context, c []byte) ([]byte, error) { return table.Apply(c), nil },
		Registerer: prometheus.NewPedanticRegistry(),
	})
	require.NoError(t, err)
	return e
}

func TestOriginByLabels(t *testing.T) {
	e := newElections(t)
	for _, c := range []struct {
		labels []string
		left   int
		origin bool
	}{
		{[]string{"__name__", "x", "cluster", "p", "__replica__", "a"}, 2, true},
		{[]string{"__replica__", "a", "cluster", "p"}, 1, true},
		{[]string{"__name__", "x", "cluster", "p"}, 2, false},
		{[]string{"__name__", "x", "__replica__", "a"}, 2, false},
		{[]string{"__name__", "x", "cluster", "", "__replica__", "a"}, 3, false},
		{[]string{"__name__", "x", "cluster", "p", "__replica__", ""}, 3, false},
	} {
		rest, o, err := e.Origin(pairs(c.labels...))
		require.NoError(t, err)
		require.Len(t, rest, c.left)
		require.Equal(t, c.origin, o != 0, "%v", c.labels)
	}
	_, _, err := e.Origin(pairs("cluster", "p", "__replica__", "a", "__replica__", "b"))
	require.Equal(t, ingest.DuplicateLabel, ingest.AsError(err).Reason)
	_, _, err = e.Origin(pairs("cluster", strings.Repeat("p", 300), "__replica__", "a"))
	require.Equal(t, ingest.LabelValueTooLong, ingest.AsError(err).Reason)
}

// An origin that made room for another means nothing any more, whatever took its place.
func TestOriginsMakeRoom(t *testing.T) {
	o := newOrigins(4)
	first, forgotten := o.number(sender{"p", "0"})
	require.False(t, forgotten)
	for i := 1; i < 1000; i++ {
		n, _ := o.number(sender{"p", fmt.Sprint(i)})
		s, ok := o.sender(n)
		require.True(t, ok)
		require.Equal(t, fmt.Sprint(i), s.replica)
		again, forgotten := o.number(s)
		require.Equal(t, n, again)
		require.False(t, forgotten)
	}
	_, ok := o.sender(first)
	require.False(t, ok)
	require.Equal(t, 3, o.len())
	_, ok = o.sender(ingest.Origin(3 << 20))
	require.False(t, ok)
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	open := func() (*File, *Table) {
		table := NewTable()
		f, err := OpenFile(dir, table, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		return f, table
	}
	f, table := open()
	require.Zero(t, table.len())
	_, err := f.Propose(t.Context(), []byte("x"))
	require.Error(t, err)
	answer, err := f.Propose(t.Context(), command{elect: election{pair: "p", replica: "a", at: 5, after: 1, most: 10}}.encode())
	require.NoError(t, err)
	_, want, err := decodeAnswer(answer)
	require.NoError(t, err)

	_, table = open()
	require.Equal(t, want, table.get("p"), "an election is on disk at once")

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	_, err = f.Propose(t.Context(), command{heard: []hearing{{"p", "a", 9}}}.encode())
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-done)
	_, table = open()
	require.Equal(t, int64(9), table.get("p").heard, "what was heard is there at the end")

	path := filepath.Join(dir, FileName)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[3] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o644))
	_, table = open()
	require.Zero(t, table.len(), "a damaged one is as good as none")
}

// After a restart the replica that was not elected is not taken where the other one was.
func TestRestartGoesOn(t *testing.T) {
	dir := t.TempDir()
	start := func() *nodes {
		table := NewTable()
		f, err := OpenFile(dir, table, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		e, err := New(table, Options{Propose: f.Propose})
		require.NoError(t, err)
		return &nodes{t: t, list: []*Elections{e}}
	}
	now := time.Now().UnixMilli()
	require.Less(t, start().send(0, "p", "a", now).After, now)
	again := start()
	require.Equal(t, int64(ingest.NoSamples), again.send(0, "p", "b", now+1).After)
	require.Less(t, again.send(0, "p", "a", now+2).After, now)
}
