package plan

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/storage/series"
)

// String prints the plan as in the package's example.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "select %s from %s to %s at epoch %d\n", Selector(p.Matchers), formatTime(p.Mint), formatTime(p.Maxt), p.Epoch)
	line := func(what string, mint, maxt int64, more string) {
		b.WriteString("  " + what)
		if mint != p.Mint || maxt != p.Maxt {
			fmt.Fprintf(&b, " from %s to %s", formatTime(mint), formatTime(maxt))
		}
		b.WriteString(more + "\n")
	}
	for _, part := range p.Ordered() {
		more := ""
		if part.Merged {
			more = ", merged"
		}
		line(part.String(), part.Mint, part.Maxt, more)
	}
	for _, m := range p.Missing {
		line("missing: shards "+Shards(m.Shards), m.Mint, m.Maxt, ": "+m.Why)
	}
	if len(p.Parts)+len(p.Missing) == 0 {
		b.WriteString("  nothing to read\n")
	}
	return b.String()
}

// String prints the shards and times that are missing.
func (m Missing) String() string {
	return fmt.Sprintf("shards %s from %s to %s: %s", Shards(m.Shards), formatTime(m.Mint), formatTime(m.Maxt), m.Why)
}

// String prints whose shards the part is.
func (p Part) String() string {
	return fmt.Sprintf("node %s: shards %s", p.Node, Shards(p.Shards))
}

// Selector prints matchers as {a="b", c=~"d"}.
func Selector(ms []*labels.Matcher) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, m := range ms {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(m.String())
	}
	b.WriteByte('}')
	return b.String()
}

func formatTime(t int64) string { return time.UnixMilli(t).UTC().Format("2006-01-02T15:04:05.999Z") }

// maxRuns is how many runs of shards are printed; an error message is not to be a page.
const maxRuns = 32

// Shards prints runs of shards: 0-3,7 of 16.
func Shards(s *series.ShardSet) string {
	if s == nil {
		return "all"
	}
	shards := 1 << s.Bits
	has := func(i int) bool { return i < shards && s.Has(first(series.Shard(i), s.Bits)) }
	var runs []string
	for i := 0; i < shards; i++ {
		if !has(i) {
			continue
		}
		from := i
		for has(i + 1) {
			i++
		}
		if len(runs) == maxRuns {
			runs = append(runs, "...")
			break
		}
		if from == i {
			runs = append(runs, strconv.Itoa(from))
		} else {
			runs = append(runs, fmt.Sprintf("%d-%d", from, i))
		}
	}
	if len(runs) == 0 {
		runs = append(runs, "none")
	}
	return fmt.Sprintf("%s of %d", strings.Join(runs, ","), shards)
}

// first is the least fingerprint of a shard.
func first(s series.Shard, bits uint8) series.Fingerprint {
	return series.Fingerprint(uint64(s) << (64 - bits))
}
