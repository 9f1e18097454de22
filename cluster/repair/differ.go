package repair

import (
	"slices"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	// partBits more than a placement has tell parts of a shard from each other.
	partBits = 8
	// fetchSamples are fetched at once, unless a slot of a part has more: some tens of megabytes on the
	// node that serves them.
	fetchSamples = 16 << 20
)

// own are the shards that a node holds whole.
func own(p *placement.Placement, self placement.NodeID) (shards []series.Shard) {
	for s := range p.Shards {
		if holdsWhole(p, series.Shard(s), self) {
			shards = append(shards, series.Shard(s))
		}
	}
	return shards
}

func holdsWhole(p *placement.Placement, s series.Shard, node placement.NodeID) bool {
	whole, _ := p.Replicas(s)
	return slices.ContainsFunc(whole, func(r placement.Replica) bool { return r.Node == node })
}

// shared are those of the shards that another node holds whole, too.
func shared(p *placement.Placement, shards []series.Shard, other placement.NodeID) (both []series.Shard) {
	for _, s := range shards {
		if holdsWhole(p, s, other) {
			both = append(both, s)
		}
	}
	return both
}

// met is what became of comparing shards with other replicas: an entry says that all was fetched that the other
// has, and whether it counts for having all that it acknowledged.
type met map[meeting]bool

type meeting struct {
	shard series.Shard
	node  placement.NodeID
}

// all reports whether the shards were compared with every other replica of which is said that it is to be.
func (m met) all(p *placement.Placement, self placement.NodeID, needed func(placement.NodeID) bool, shards []series.Shard) bool {
	for _, s := range shards {
		whole, _ := p.Replicas(s)
		for _, r := range whole {
			if _, ok := m[meeting{s, r.Node}]; !ok && r.Node != self && needed(r.Node) {
				return false
			}
		}
	}
	return true
}

func everybody(placement.NodeID) bool { return true }

// enough reports whether each of the shards was compared with as many that count as must have every
// acknowledged sample among them, together with this one unless it forgot.
func (m met) enough(p *placement.Placement, self placement.NodeID, shards []series.Shard, forgot bool) bool {
	for _, s := range shards {
		whole, _ := p.Replicas(s)
		need := p.Enough(s)
		if !forgot {
			need--
		}
		for _, r := range whole {
			if m[meeting{s, r.Node}] && r.Node != self {
				need--
			}
		}
		if need > 0 {
			return false
		}
	}
	return true
}

// fills reports whether shards are being filled on a node.
func fills(p *placement.Placement, node placement.NodeID) bool {
	for s := range p.Shards {
		if _, f := p.Replicas(series.Shard(s)); f != nil && f.Node == node {
			return true
		}
	}
	return false
}

// finer are the parts of shards, and how many bits tell them apart.
func finer(bits uint8, shards []series.Shard) Question {
	fine := min(bits+partBits, maxBits)
	set := &series.ShardSet{Bits: fine}
	for _, s := range shards {
		for n := range 1 << (fine - bits) {
			set.Add(series.Shard(int(s)<<(fine-bits) + n))
		}
	}
	return Question{Shards: set}
}

// fetches says what is to be fetched after a question was answered here and elsewhere: the slots of shards in
// which the other has samples and they are not the same. Slots that follow each other are fetched
// together where they are of the same shards, and at most so many samples.
func fetches(q Question, here, there []series.Digest, most uint64) (out []Stretch) {
	shards, slots := list(q.Shards), q.slots()
	var last []series.Shard
	var sum uint64
	for n := range slots {
		mint, maxt := q.slot(n)
		var differ []series.Shard
		var samples uint64
		begun := false // Something of this slot is in out.
		cut := func() {
			if len(differ) == 0 {
				return
			}
			if !begun && len(out) > 0 && slices.Equal(differ, last) && out[len(out)-1].Maxt == mint-1 && sum+samples <= most {
				out[len(out)-1].Maxt = maxt
				sum += samples
			} else {
				out = append(out, Stretch{setOf(q.Shards.Bits, differ), mint, maxt})
				sum = samples
			}
			begun, last, differ, samples = true, differ, nil, 0
		}
		for i, s := range shards {
			at := i*slots + n
			if there[at].Samples == 0 || there[at] == here[at] {
				continue
			}
			if samples+there[at].Samples > most {
				cut()
			}
			differ = append(differ, s)
			samples += there[at].Samples
		}
		cut()
	}
	return out
}

// differing splits the shards of a question in which the other has something else: those of which this
// node has nothing where that is so, and others.
func differing(q Question, here, there []series.Digest) (empty, mixed []series.Shard) {
	slots := q.slots()
	for i, s := range list(q.Shards) {
		differs, some := false, false
		for at := i * slots; at < (i+1)*slots; at++ {
			if there[at].Samples > 0 && there[at] != here[at] {
				differs, some = true, some || here[at].Samples > 0
			}
		}
		switch {
		case differs && some:
			mixed = append(mixed, s)
		case differs:
			empty = append(empty, s)
		}
	}
	return empty, mixed
}

// only returns the digests of those shards of a question that another, of the same stretch, is of.
func only(q Question, digests []series.Digest, part Question) []series.Digest {
	slots := q.slots()
	var out []series.Digest
	for i, s := range list(q.Shards) {
		if part.Shards.Has(lowest(int(s), q.Shards.Bits)) {
			out = append(out, digests[i*slots:(i+1)*slots]...)
		}
	}
	return out
}

// stretchOf is from the first slot in which the digests are not the same to the last, of all of the shards.
func stretchOf(q Question, here, there []series.Digest) (mint, maxt int64) {
	slots := q.slots()
	first, last := slots, -1
	for i := range here {
		if there[i].Samples > 0 && here[i] != there[i] {
			first, last = min(first, i%slots), max(last, i%slots)
		}
	}
	mint, _ = q.slot(max(0, min(first, slots-1)))
	_, maxt = q.slot(max(last, 0))
	return mint, maxt
}
