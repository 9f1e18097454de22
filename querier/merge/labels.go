package merge

import (
	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/storage/series"
)

// Labels converts with two allocations however many labels there are: one string of all the
// bytes, of which names and values are parts, and what the builder makes of them.
func Labels(b *labels.ScratchBuilder, l series.Labels) labels.Labels {
	b.Reset()
	all, end := string(l), 0
	for name, value := range l.All() {
		end += prefixLen(len(name)) + len(name)
		n := all[end-len(name) : end]
		end += prefixLen(len(value)) + len(value)
		b.Add(n, all[end-len(value):end])
	}
	return b.Labels()
}

// prefixLen is how many bytes the length n takes as uvarint.
func prefixLen(n int) int {
	k := 1
	for ; n >= 0x80; n >>= 7 {
		k++
	}
	return k
}
