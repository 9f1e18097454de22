package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/cluster"
)

func TestPrintStatus(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := &cluster.Status{
		Cluster: "prod", Region: "default", RegionID: "r", Self: "a", Leader: "a", Epoch: 9, Shards: 256, ReplicationFactor: 2,
		Moving: 40, Waiting: 100,
		Nodes: []cluster.NodeStatus{
			{ID: "a", Name: "n1", Address: "10.0.0.1:11014", Software: "1", Health: "alive", Since: now.Add(-time.Hour), State: "draining", Replicas: 140, Leaving: 140},
			{
				ID: "b", Name: "n2", Address: "10.0.0.2:11014", Software: "1", Health: "alive", Since: now.Add(-time.Minute), State: "active", Voter: true,
				Replicas: 60, Filling: 40, Waiting: 60, Copy: &cluster.Filling{Shards: 32, DaysDone: 15, DaysLeft: 15, Bytes: 3 << 30},
			},
		},
	}
	var out bytes.Buffer
	require.NoError(t, printStatus(&out, s, now))
	require.Equal(t, `cluster prod, region default, epoch 9: 256 shards, replication factor 2

NODE  ZONE  ADDRESS         HEALTH  FOR     STATE     RAFT    SHARDS  FILLING  VERSION  ID
n1 *        10.0.0.1:11014  alive   1h0m0s  draining  leader  140     0        1        a
n2          10.0.0.2:11014  alive   1m0s    active    voter   60      40       1        b

n1                                          hands over 140 shards
n2  [##########....................]   33%  fills 40 shards, 60 wait; 15 of 30 days, 3GiB copied

40 moves are under way
100 moves have not begun
`, out.String())
}
