package remotewrite

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
)

// types are the metric types by their number, which is the same in both messages.
var types = [...]model.MetricType{
	model.MetricTypeUnknown, model.MetricTypeCounter, model.MetricTypeGauge, model.MetricTypeHistogram,
	model.MetricTypeGaugeHistogram, model.MetricTypeSummary, model.MetricTypeInfo, model.MetricTypeStateset,
}

func typeName(kind uint64) string {
	if kind < uint64(len(types)) {
		return string(types[kind])
	}
	return string(model.MetricTypeUnknown)
}

// metadata2 is the Metadata message of 2.0.
type metadata2 struct {
	kind       uint64
	help, unit uint32
}

func (m *metadata2) read(b []byte) error {
	for i := 0; i < len(b); {
		if i+1 < len(b) && b[i]|b[i+1] < 0x80 { // One byte each, as nearly always.
			switch b[i] {
			case 1<<3 | varintType:
				m.kind = uint64(b[i+1])
				i += 2
				continue
			case 3<<3 | varintType:
				m.help = uint32(b[i+1])
				i += 2
				continue
			}
		}
		f, end, err := next(b, i)
		if err != nil {
			return err
		}
		i = end
		switch f.num {
		case 1:
			err, m.kind = f.want(varintType), f.v
		case 3:
			err, m.help = f.want(varintType), uint32(f.v)
		case 4:
			err, m.unit = f.want(varintType), uint32(f.v)
		}
		if err != nil {
			return fmt.Errorf("metadata: %w", err)
		}
	}
	return nil
}

// given reports whether there is anything in it: some senders always send one.
func (m *metadata2) given() bool { return m.kind != 0 || m.help != 0 || m.unit != 0 }

// metadata adds what m says of the metric that the symbol name names. 2.0 repeats it with every
// series of every request; what was passed on lately is not passed on again.
func (d *decoder) metadata(name uint32, m *metadata2) (ingest.Reason, error) {
	if int(m.help) >= len(d.symbols) || int(m.unit) >= len(d.symbols) {
		return ingest.BadSymbol, nil
	}
	help, unit := &d.symbols[m.help], &d.symbols[m.unit]
	if name == noSymbol || m.kind == 0 && help.from == help.to && unit.from == unit.to {
		return 0, nil
	}
	key := d.hash.v2.Mix(d.symbols[name].key, help.key, unit.key)
	slot, fresh := d.seen.mark(key.Hi+m.kind, d.period)
	if !fresh {
		return 0, nil
	}
	d.marks = append(d.marks, slot)
	t := typeName(m.kind)
	md := frame.Metadata{Metric: family(string(d.text(name)), t), Type: t, Help: string(d.text(m.help)), Unit: string(d.text(m.unit))}
	d.batch.Metadata = append(d.batch.Metadata, md)
	return 0, d.use(metadataBytes + int64(len(md.Metric)+len(md.Help)+len(md.Unit)))
}

// family is the metric's name without the suffix that its type adds to some of its series.
func family(metric, kind string) string {
	var suffixes []string
	switch model.MetricType(kind) {
	case model.MetricTypeHistogram:
		suffixes = []string{"_bucket", "_count", "_sum"}
	case model.MetricTypeGaugeHistogram:
		suffixes = []string{"_bucket", "_gcount", "_gsum"}
	case model.MetricTypeSummary:
		suffixes = []string{"_count", "_sum"}
	}
	for _, s := range suffixes {
		if base, ok := strings.CutSuffix(metric, s); ok && base != "" {
			return base
		}
	}
	return metric
}

// seen remembers metadata by a hash, each place of a fixed number the last that fell on it. What
// was forgotten, or seen before the last ten minutes began, counts as new.
type seen [1 << 14]atomic.Uint64

const seenFor = 10 * time.Minute

// seenPeriod numbers the periods.
func seenPeriod(now time.Time) uint64 { return uint64(now.Unix() / int64(seenFor/time.Second)) }

// mark reports whether the hash is new in the period, and the place where it is marked now.
func (s *seen) mark(hash, period uint64) (slot uint32, fresh bool) {
	hash += period * 0x9E3779B97F4A7C15 // Any odd number parts the periods.
	slot = uint32(hash>>48) % uint32(len(s))
	if s[slot].Load() == hash {
		return slot, false
	}
	s[slot].Store(hash)
	return slot, true
}

// unmark makes the places new again, as their metadata was not stored after all.
func (s *seen) unmark(slots []uint32) {
	for _, slot := range slots {
		s[slot].Store(0)
	}
}
