package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster"
)

func someStatus(now time.Time) cluster.Status {
	return cluster.Status{
		Cluster: "prod", Region: "eu", RegionID: "r", Self: "id-b", Leader: "id-a", Epoch: 42, Shards: 256, ReplicationFactor: 3,
		Nodes: []cluster.NodeStatus{
			{ID: "id-a", Name: "a", Zone: "z1", Address: "10.0.0.1:11014", Software: "0.2.0", Health: "alive", Since: now.Add(-time.Hour), State: "active", Voter: true, Replicas: 170},
			{ID: "id-b", Name: "b", Zone: "z2", Address: "10.0.0.2:11014", Software: "0.2.0", Health: "alive", Since: now.Add(-time.Minute), State: "active", Voter: true, Replicas: 171, Filling: 2},
			{ID: "id-c", Name: "c\x1b[2J", Zone: "z3", Address: "10.0.0.3:11014", Software: "0.1.0", Health: "dead", Since: now.Add(-90 * time.Second), State: "active"},
		},
	}
}

func TestPrintStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := someStatus(now)
	s.Moving, s.Thin, s.Unwritable = 2, 170, 3
	var b bytes.Buffer
	require.NoError(t, printStatus(&b, &s, now))
	require.Equal(t, `cluster prod, region eu, epoch 42: 256 shards, replication factor 3

NODE      ZONE  ADDRESS         HEALTH  FOR     STATE   RAFT      SHARDS  FILLING  VERSION  ID
a         z1    10.0.0.1:11014  alive   1h0m0s  active  leader    170     0        0.2.0    id-a
b *       z2    10.0.0.2:11014  alive   1m0s    active  voter     171     2        0.2.0    id-b
c\x1b[2J  z3    10.0.0.3:11014  dead    1m30s   active  follower  0       0        0.1.0    id-c

b  [#############################.]   99%  fills 2 shards, 0 wait

2 moves are under way
170 shards have fewer living replicas than they are to have
3 shards can't be written: too few of their replicas live
`, b.String())

	for _, tc := range []struct {
		edit func(*cluster.Status)
		last string
	}{
		{func(*cluster.Status) {}, "All shards are whole.\n"},
		{func(s *cluster.Status) { s.Nodes[1].Incompatible = true }, "1 nodes speak no version of the protocol that this node speaks: " +
			"upgrade the older first to a release that speaks both\n"},
		{func(s *cluster.Status) { s.Leader = "" }, "Nobody leads: writes and queries go on, changes wait.\n"},
		{func(s *cluster.Status) { s.RegionID = "" }, "This node belongs to no region yet: it waits for others, or to be taken in.\n"},
	} {
		s := someStatus(now)
		s.Nodes[1].Filling = 0
		tc.edit(&s)
		b.Reset()
		require.NoError(t, printStatus(&b, &s, now))
		require.True(t, bytes.HasSuffix(b.Bytes(), []byte("\n\n"+tc.last)), b.String())
	}
}

func TestClusterCommands(t *testing.T) {
	var asked string
	answer := `{"status":"success"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.Path + " " + r.PostFormValue("node") + " " + r.PostFormValue("force")
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	var out, errs bytes.Buffer
	do := func(args ...string) int {
		out.Reset()
		errs.Reset()
		return run(append([]string{"cluster"}, append(args, "--url="+server.URL)...), streams{out: &out, err: &errs})
	}
	require.Zero(t, do("drain", "a"), errs.String())
	require.Equal(t, "POST /api/v1/cluster/drain a false", asked)
	require.Contains(t, out.String(), "a hands over what it holds")
	require.Zero(t, do("remove", "b", "--force"), errs.String())
	require.Equal(t, "POST /api/v1/cluster/remove b true", asked)

	answer = `{"status":"error","error":"the node is alive: drain it and stop it first"}`
	require.Equal(t, 1, do("remove", "b"))
	require.Contains(t, errs.String(), "drain it and stop it first")
	answer = "<html>"
	require.Equal(t, 1, do("status"))
	require.Contains(t, errs.String(), "200 OK")

	text, err := json.Marshal(map[string]any{"status": "success", "data": someStatus(time.Now())})
	require.NoError(t, err)
	answer = string(text)
	require.Zero(t, do("status"), errs.String())
	require.Contains(t, out.String(), "All shards are whole.")
	require.Zero(t, do("status", "--format=json"), errs.String())
	var s cluster.Status
	require.NoError(t, json.Unmarshal(out.Bytes(), &s))
	require.Equal(t, uint64(42), s.Epoch)
}

func TestPrintMoves(t *testing.T) {
	s := &cluster.Status{
		Moving: 40, Waiting: 100,
		Nodes: []cluster.NodeStatus{
			{Name: "n1", Replicas: 140, Leaving: 140},
			{
				Name: "n2", Replicas: 60, Filling: 40, Waiting: 60,
				Copy: &cluster.Filling{Shards: 32, DaysDone: 15, DaysLeft: 15, Bytes: 3 << 30},
			},
		},
	}
	var out bytes.Buffer
	require.NoError(t, printMoves(&out, s))
	require.Equal(t, `
n1                                          hands over 140 shards
n2  [##########....................]   33%  fills 40 shards, 60 wait; 15 of 30 days, 3GiB copied
`, out.String())
	out.Reset()
	require.NoError(t, printMoves(&out, &cluster.Status{Nodes: s.Nodes[:0]}))
	require.Empty(t, out.String())
}
