// Package plan decides who reads what: it lays a selector over the placement of shards and says
// which node reads which shards and times, so that each shard is read exactly once. It is a pure
// function of plain values, and a plan prints as text.
//
//	select {__name__="up"} from 2026-01-02T03:00:00Z to 2026-01-02T04:00:00Z at epoch 7
//	  node a: shards 0-127 of 256
//	  node b: shards 128-255 of 256
package plan
