package node

import (
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/barograph-db/barograph/ingest/limit"
	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/storage"
)

// memory is how many bytes the process should make do with; 0 is unknown. Limits that are not set
// are shares of it, so that together they fit: a quarter for queries, an eighth for writes on their
// way, half for series, and little for caches.
type memory int64

// ownMemory is what GOMEMLIMIT says, which the control group's limit was made where it was not set,
// else nine tenths of the machine's.
func ownMemory() memory {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return memory(limit)
	}
	total, err := memlimit.FromSystem()
	if err != nil || total > math.MaxInt64 {
		return 0
	}
	return memory(total / 10 * 9)
}

// share is a part of the memory, but no more than most.
func (m memory) share(parts, most int64) int64 {
	if m == 0 {
		return most
	}
	return min(int64(m)/parts, most)
}

const noMost = 1 << 62

func (m memory) queries(o *querier.Options) {
	setDefault(&o.CacheBytes, m.share(32, 256<<20)) // It is there also where the memory is unknown.
	if m == 0 {
		return
	}
	setDefault(&o.MaxBytes, m.share(4, noMost))
	if o.MaxBytes > 0 {
		setDefault(&o.MaxQueryBytes, o.MaxBytes/2)
	}
	setDefault(&o.MaxMemory, int64(m)/5*4)
}

func (m memory) writes(o *limit.Options) {
	// What a series takes while it is active, its open chunk and its place in the index included.
	const seriesBytes = 450
	setDefault(&o.ActiveSeries, int(m.share(2*seriesBytes, 5_000_000)))
	setDefault(&o.InFlightBytes, m.share(8, 512<<20))
	if o.InFlightBytes > 0 { // A request that can never be taken should be told so at once.
		setDefault(&o.DecodedBytes, min(o.InFlightBytes/2, 128<<20))
		setDefault(&o.BodyBytes, min(o.InFlightBytes/4, 32<<20))
	}
}

func (m memory) storage(o *storage.Options) {
	o.CacheBytes = m.share(16, 64<<20)
	o.LateBytes = m.share(8, 96<<20)
}
