// Package placement decides which nodes hold which shards. It is pure: plain values in, plain
// values out, no clock, no network, no randomness.
//
// A Placement is numbered by its epoch. Each shard has replicas, of which the whole ones are read
// and count for a write quorum, and at most one is filling: it is written to and copied to, and is
// neither read nor counted until it has all.
//
//	shard 7, epoch 41:   a   b   c                 three whole replicas
//	         epoch 42:   a   b   c   d (for a)     d fills; a stays until d is whole
//	         epoch 57:   b   c   d                 d has all; a deletes what it holds, later
//
// A placement changes in steps, each of which is a function that returns the next placement:
//
//	Found                 the first placement of a region: all replicas whole, since there is nothing to copy
//	Join, Drain, Lose,
//	Remove, SetFactor     the nodes and what is wanted of them
//	Next                  begins moves, so many at a time, towards the target
//	Filled                ends moves
//
// What holds in every placement, whatever steps led to it, and is tested for random sequences:
//
//   - No step takes a whole replica away unless as many remain as the shard is to have, or its node
//     has been removed. A node that is lost keeps its replicas until others have taken over.
//   - A shard changes one replica at a time, so write quorums of neighbouring epochs intersect.
//   - Where there are as many zones as replicas, no two of a shard share one; with fewer, they are
//     spread as evenly as the nodes of the zones allow.
//
// # Samples that were acknowledged
//
// A write is acknowledged when a quorum of the whole replicas has it, and, while a replica of the shard
// fills, also a quorum of those that are going to be whole (see ingest/quorum). So a replica that
// becomes whole takes away nothing from what was acknowledged meanwhile. Where a replica is given up with none
// in its place the rest may have fewer acknowledgements than a quorum of them: the shard is short,
// until another replica has copied what there is, or nobody lacks anything (Sound).
//
// Fence is the latest epoch before which no placement may be written by any more: such a write would
// pass by a replica that fills, or count one that is gone. Whoever knows an epoch refuses writes by
// placements from before its fence. So once as many whole replicas know the epoch in which another
// began to fill as keep the rest from being a quorum, no write passes it by, whoever is away or
// comes back with whatever it knew.
//
// # The target
//
// The target is where all replicas would be if moving cost nothing, chosen such that little has to
// move. Zones come first: if l is the largest number of replicas that every zone can be given (or
// all its nodes, if it has fewer), a shard has l or l+1 in each zone, bounded by its nodes. Within
// that, each zone and in it each node is due a share by weight, at most one replica of each shard.
// Shares are rounded so that they add up, in favour of whoever holds more already.
//
// Then, starting from what is there:
//
//  1. what no longer may be is taken away: nodes that drain or are lost, zones with too many;
//  2. shards that lack replicas get them where most of a share is open;
//  3. while one node holds more than its share and another less, a shard is passed on from the one
//     to the other, if need be over nodes between: the shortest such way, found by breadth-first
//     search, costs the fewest moves (augmenting paths, Ford and Fulkerson 1956).
//
// Ties are broken by a hash of shard and node (rendezvous hashing, Thaler and Ravishankar 1996), so
// that the shards of a node have their other replicas on many nodes, all of which help when it is lost.
package placement
