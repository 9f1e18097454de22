// Package plan decides who reads what: it lays a selector over the placement of shards and says
// which node reads which shards and times, so that each sample is read exactly once where that can
// be. It is a pure function of plain values, and a plan prints as text.
//
//	select {__name__="up"} from 2026-01-02T03:00:00Z to 2026-01-02T04:00:00Z at epoch 7
//	  node a: shards 0-127 of 256
//	  node a: shards 255 of 256 from 2026-01-02T03:00:00Z to 2026-01-02T03:29:59.999Z
//	  node b: shards 128-254 of 256
//	  node b: shards 255 of 256 from 2026-01-02T03:30:00Z to 2026-01-02T04:00:00Z, merged
//	  node c: shards 255 of 256 from 2026-01-02T03:30:00Z to 2026-01-02T04:00:00Z, merged
//
// A shard is read from one replica that is whole, alive and without a gap in the times: from this
// node's own if it is one, else such that the shards are spread over the nodes by their weights.
//
// Where every replica that lives has a gap somewhere, the times are cut at the gaps. Each stretch is
// read from a replica without a gap in it. In a stretch in which all have gaps, all that live are read
// and merged. The placement knows on how many of the whole replicas each acknowledged sample is at least: on a
// quorum, but where replicas were given up with none in their place (placement.Held). So it is in what was
// merged if so few are away that those which are left can't all lack it (placement.Enough); else the stretch
// is missing, though what there is of it may be read. Where every replica has all that was acknowledged, as
// with two of which both must acknowledge, gaps mean nothing, and are not looked at.
//
// This holds because a replica that has lost what it had acknowledged is not whole: it fills.
package plan
