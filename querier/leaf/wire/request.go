package wire

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/storage/changes"
	"github.com/barograph-db/barograph/storage/series"
)

// version of requests, and of the answers to them.
const version = 2

// Matcher is a matcher as it is sent: nothing has been compiled yet.
type Matcher struct {
	Type        labels.MatchType
	Name, Value string
}

// request is all that a method may be asked.
type request struct {
	epoch    uint64          // of the placement that it was planned by
	selector series.Selector // without Matchers and Take
	name     string          // of the label whose values are wanted
	sets     [][]Matcher     // one, unless exemplars are wanted
	// An aggregation, its times, and how far it looks back.
	expr     []byte
	grid     eval.Grid
	lookback int64
	perStep  bool // Statistics of each step are wanted.
	since    changes.Stamp
}

const (
	flagLabelsOnly = 1 << iota
	flagShards
)

func appendRequest(dst []byte, method string, r *request) []byte {
	dst = binary.AppendUvarint(append(dst, version), r.epoch)
	switch method {
	case methodSelect, methodNames, methodCardinality:
		return appendSelector(dst, r)
	case methodValues:
		return appendSelector(appendText(dst, r.name), r)
	case methodPartial:
		dst = appendText(dst, r.expr)
		dst = binary.AppendVarint(dst, r.grid.Start)
		for _, n := range []int64{r.grid.Step, int64(r.grid.Steps), r.lookback} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
		perStep := byte(0)
		if r.perStep {
			perStep = 1
		}
		dst = append(dst, perStep)
		return appendSelector(dst, r)
	case methodChanges:
		dst = appendStamp(dst, r.since)
	case methodExemplars:
		dst = binary.AppendVarint(dst, r.selector.Mint)
		dst = binary.AppendVarint(dst, r.selector.Maxt)
		flags := byte(0)
		if r.selector.Shards != nil {
			flags = flagShards
		}
		if dst = append(dst, flags); flags != 0 {
			dst = appendShards(dst, r.selector.Shards)
		}
		dst = binary.AppendUvarint(dst, uint64(len(r.sets)))
		for _, set := range r.sets {
			dst = appendMatchers(dst, set)
		}
	}
	return dst
}

func appendSelector(dst []byte, r *request) []byte {
	sel := &r.selector
	dst = binary.AppendVarint(dst, sel.Mint)
	dst = binary.AppendVarint(dst, sel.Maxt)
	flags := byte(0)
	if sel.SkipChunks {
		flags |= flagLabelsOnly
	}
	if sel.Shards != nil {
		flags |= flagShards
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(max(sel.Limit, 0)))
	if sel.Shards != nil {
		dst = appendShards(dst, sel.Shards)
	}
	return appendMatchers(dst, r.sets[0])
}

func appendMatchers(dst []byte, ms []Matcher) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ms)))
	for _, m := range ms {
		dst = append(dst, byte(m.Type))
		dst = appendText(dst, m.Name)
		dst = appendText(dst, m.Value)
	}
	return dst
}

// maxLookback is as long as a duration can be.
const maxLookback = uint64(math.MaxInt64 / time.Millisecond)

// maxShardBits is what series.ShardSet has room for.
const maxShardBits = 16

// first is the least fingerprint of a shard.
func first(shard int, bits uint8) series.Fingerprint {
	return series.Fingerprint(uint64(shard) << (64 - bits))
}

func appendShards(dst []byte, s *series.ShardSet) []byte {
	dst = append(dst, s.Bits)
	for from := 0; from < 1<<s.Bits; from += 8 {
		b := byte(0)
		for i := from; i < min(from+8, 1<<s.Bits); i++ {
			if s.Has(first(i, s.Bits)) {
				b |= 1 << (i - from)
			}
		}
		dst = append(dst, b)
	}
	return dst
}

func decodeRequest(method string, b []byte) (*request, error) {
	d := decoder{rest: b}
	if v := d.byte(); d.err == nil && v != version {
		return nil, malformed("request of version %d, this node speaks %d", v, version)
	}
	r := &request{epoch: d.uvarint()}
	switch method {
	case methodSelect, methodNames, methodCardinality:
		d.selector(r)
	case methodValues:
		r.name = string(d.text())
		d.selector(r)
	case methodPartial:
		r.expr = d.text()
		d.grid(r)
		d.selector(r)
	case methodChanges:
		r.since = d.stamp()
	case methodExemplars:
		r.selector.Mint, r.selector.Maxt = d.varint(), d.varint()
		switch flags := d.byte(); flags {
		case 0:
		case flagShards:
			r.selector.Shards = d.shards()
		default:
			d.fail("flags %d", flags)
		}
		for range d.count(1) {
			r.sets = append(r.sets, d.matchers())
		}
	}
	return r, d.end()
}

func (d *decoder) grid(r *request) {
	start, step, steps, lookback := d.varint(), d.uvarint(), d.uvarint(), d.uvarint()
	perStep := d.byte()
	if perStep > 1 || step > math.MaxInt64 || steps > math.MaxInt32 || lookback > maxLookback {
		d.fail("%d steps of %d ms that look back %d ms", steps, step, lookback)
		return
	}
	r.grid, r.lookback = eval.Grid{Start: start, Step: int64(step), Steps: int(steps)}, int64(lookback)
	r.perStep = perStep == 1
	if err := r.grid.Validate(); err != nil && d.err == nil {
		d.fail("%v", err)
	}
}

func (d *decoder) selector(r *request) {
	sel := &r.selector
	sel.Mint, sel.Maxt = d.varint(), d.varint()
	flags := d.byte()
	if flags > flagLabelsOnly|flagShards {
		d.fail("flags %d", flags)
	}
	sel.SkipChunks = flags&flagLabelsOnly != 0
	limit := d.uvarint()
	if limit > math.MaxInt {
		d.fail("limit %d", limit)
	}
	sel.Limit = int(limit)
	if flags&flagShards != 0 {
		sel.Shards = d.shards()
	}
	r.sets = [][]Matcher{d.matchers()}
}

func (d *decoder) shards() *series.ShardSet {
	s := &series.ShardSet{Bits: d.byte()}
	if s.Bits > maxShardBits {
		d.fail("%d bits of shards", s.Bits)
		return nil
	}
	bits := d.bytes((1<<s.Bits + 7) / 8)
	for i := range bits {
		for n := range 8 {
			if bits[i]&(1<<n) == 0 {
				continue
			}
			if 8*i+n >= 1<<s.Bits {
				d.fail("shard %d of %d", 8*i+n, 1<<s.Bits)
				return nil
			}
			s.Add(series.Shard(8*i + n))
		}
	}
	return s
}

func (d *decoder) matchers() []Matcher {
	n := d.count(3)
	if n == 0 {
		return nil
	}
	ms := make([]Matcher, n)
	for i := range ms {
		ms[i] = Matcher{Type: labels.MatchType(d.byte()), Name: string(d.text()), Value: string(d.text())}
		if ms[i].Type > labels.MatchNotRegexp {
			d.fail("matcher of type %d", ms[i].Type)
		}
	}
	return ms
}

// toSend is what is sent of matchers.
func toSend(ms []*labels.Matcher) []Matcher {
	if len(ms) == 0 {
		return nil
	}
	out := make([]Matcher, len(ms))
	for i, m := range ms {
		out[i] = Matcher{Type: m.Type, Name: m.Name, Value: m.Value}
	}
	return out
}
