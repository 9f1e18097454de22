package partial

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/series"
)

// Decode reads what Append wrote. A few bytes may stand for many steps: take is asked before each
// piece of memory, and its error ends the reading. Labels view b.
func Decode(b []byte, take func(bytes int64) error) (*Set, error) {
	d := &decoder{b: b, take: take}
	s := d.set()
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	if d.err != nil {
		return nil, d.err
	}
	return s, nil
}

// decoder goes on with zeros after an error, which it keeps.
type decoder struct {
	b        []byte
	take     func(int64) error
	err      error
	ordinals []int64 // Scratch.
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = corruptf(format, args...)
	}
	d.b = nil
}

func (d *decoder) u8() byte {
	if len(d.b) == 0 {
		d.fail("cut short")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uvarint(limit int) int {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > uint64(limit) {
		d.fail("number cut short or above %d", limit)
		return 0
	}
	d.b = d.b[n:]
	return int(v)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("cut short")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) u64() uint64 {
	if len(d.b) < 8 {
		d.fail("cut short")
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) f64() float64 { return math.Float64frombits(d.u64()) }

func (d *decoder) bytes() []byte {
	n := d.uvarint(len(d.b))
	if n > len(d.b) {
		d.fail("cut short")
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) labels() series.Labels {
	ls := series.Labels(d.bytes())
	if err := ls.Validate(); err != nil {
		d.fail("%v", err)
	}
	return ls
}

// hold reports whether there is memory for n things.
func (d *decoder) hold(n int, size int64) bool {
	if d.err == nil {
		if d.err = d.take(int64(n) * size); d.err != nil {
			d.b = nil
		}
	}
	return d.err == nil
}

// floats reads n packed values.
func (d *decoder) floats(n int) []float64 {
	if !d.hold(n, 8) {
		return nil
	}
	out := make([]float64, 0, n)
	d.ordinals = d.ordinals[:0] // As long as out, as the decoder of chunks expects.
	for len(out) < n && d.err == nil {
		part := min(n-len(out), chunk.MaxDecimalSamples)
		c := chunk.Chunk{Enc: chunk.Encoding(d.u8()), Data: d.bytes(), Samples: part, MaxT: int64(part - 1)}
		if c.Enc != chunk.XOR && c.Enc != chunk.Decimal {
			d.fail("values of encoding %v", c.Enc)
			return nil
		}
		before := len(out)
		var err error
		if d.ordinals, out, err = chunk.Decode(d.ordinals, out, c); err != nil {
			d.fail("%v", err)
		} else if len(out) != before+part {
			d.fail("%d values instead of %d", len(out)-before, part)
		}
	}
	if d.err != nil {
		return nil
	}
	return out
}

// integers reads n packed values that are integers from 0 up to a limit.
func (d *decoder) integers(n, limit int) []float64 {
	vs := d.floats(n)
	for _, v := range vs {
		if !(v >= 0 && v <= float64(limit)) || v != math.Trunc(v) {
			d.fail("%v instead of an integer up to %d", v, limit)
			return nil
		}
	}
	return vs
}

func (d *decoder) set() *Set {
	if v := d.u8(); v != version {
		d.fail("version %d", v)
	}
	s := &Set{Aggregate: Aggregate{Op: Op(d.u8()), Steps: d.uvarint(MaxSteps)}}
	if s.Op < Sum || s.Op > Quantile || s.Steps == 0 {
		d.fail("aggregation %d over %d steps", s.Op, s.Steps)
	}
	if s.Op.TakesParam() {
		s.Params = d.floats(s.Steps)
	}
	seen := map[string]struct{}{}
	for range d.uvarint(min(len(d.b), MaxGroups)) {
		g := GroupColumn{Labels: d.labels(), First: series.Fingerprint(d.u64())}
		if _, ok := seen[string(g.Labels)]; ok {
			d.fail("a group twice")
		}
		if !d.hold(1, int64(unsafe.Sizeof(Column{}))+int64(2*len(g.Labels))) {
			return nil
		}
		seen[string(g.Labels)] = struct{}{}
		g.Column = d.column(&s.Aggregate)
		s.Groups = append(s.Groups, g)
	}
	return s
}

func (d *decoder) column(a *Aggregate) *Column {
	flags := d.u8()
	c := &Column{
		Aggregate: a, notes: Notes(flags) & allNotes,
		merged: flags&flagMerged != 0, refused: flags&flagRefused != 0,
	}
	if flags&flagHistograms != 0 && a.Op != Sum && a.Op != Avg || Notes(flags&(flagMerged-1))&^allNotes != 0 {
		d.fail("flags %x of aggregation %d", flags, a.Op)
	}
	switch a.Op {
	case TopK, BottomK:
		d.tops(c)
		return c
	case Quantile:
		for range d.uvarint(min(len(d.b), MaxRows)) {
			if !d.hold(1, sliceBytes) {
				break
			}
			c.rows = append(c.rows, d.present(a.Steps))
		}
		return c
	}
	c.values = d.present(a.Steps)
	switch a.Op {
	case Avg, Stddev, Stdvar:
		c.counts = d.integers(a.Steps, 1<<53)
	}
	switch a.Op {
	case Sum, Avg, Stddev, Stdvar:
		c.comp = d.masked(c.values)
	}
	if flags&flagHistograms != 0 {
		d.histograms(c)
	}
	return c
}

// present reads runs of absent and present values, and the latter.
func (d *decoder) present(steps int) []float64 {
	if !d.hold(steps, 8) {
		return nil
	}
	out := absent(steps)
	n := 0
	for i, is := 0, false; i < steps && d.err == nil; is = !is {
		run := d.uvarint(steps - i)
		if run == 0 && i > 0 {
			d.fail("empty run")
		}
		if is {
			for j := range run {
				out[i+j] = 0
			}
			n += run
		}
		i += run
	}
	return d.fill(out, out, n)
}

// masked reads a value for each that the mask has, and 0 elsewhere.
func (d *decoder) masked(mask []float64) []float64 {
	n := 0
	for _, v := range mask {
		if !IsAbsent(v) {
			n++
		}
	}
	if !d.hold(len(mask), 8) {
		return nil
	}
	return d.fill(make([]float64, len(mask)), mask, n)
}

// fill reads n values to where the mask is present.
func (d *decoder) fill(out, mask []float64, n int) []float64 {
	vs := d.floats(n)
	if d.err != nil {
		return nil
	}
	for i, v := range mask {
		if IsAbsent(v) {
			continue
		}
		if out[i] = vs[0]; IsAbsent(vs[0]) {
			d.fail("absent value")
			return nil
		}
		vs = vs[1:]
	}
	return out
}

func (d *decoder) tops(c *Column) {
	members := d.uvarint(min(len(d.b), MaxMembers))
	for range members {
		if !d.hold(1, sliceBytes) {
			return
		}
		c.members = append(c.members, d.labels())
	}
	lens := d.integers(c.Steps, members)
	all := 0
	for i, n := range lens {
		if n > float64(c.k(i)) {
			d.fail("%v of the first %d", n, c.k(i))
			return
		}
		all += int(n)
	}
	owners, values := d.integers(all, members-1), d.floats(all)
	left := d.present(c.Steps)
	if !d.hold(all, entryBytes) || !d.hold(c.Steps, topBytes) {
		return
	}
	c.tops = make([]top, c.Steps)
	for i, n := range lens {
		entries := make([]entry, int(n))
		for j := range entries {
			entries[j] = entry{values[j], int32(owners[j])}
		}
		values, owners = values[len(entries):], owners[len(entries):]
		c.tops[i] = top{entries: entries, left: left[i], bottom: c.Op == BottomK}
	}
}

func (d *decoder) histograms(c *Column) {
	states := d.integers(c.Steps, stateEnd-1)
	if !d.hold(c.Steps, int64(unsafe.Sizeof(total{}))) {
		return
	}
	c.histograms = make([]total, c.Steps)
	var sums, comps []*histogram.FloatHistogram
	for i, v := range states {
		state := int(v)
		t := &c.histograms[i]
		t.seen, t.reset, t.notReset = state&bitSeen != 0, state&bitReset != 0, state&bitNotReset != 0
		if (state&bitSum != 0 && state&bitSeen == 0) || (state&bitComp != 0 && state&bitSum == 0) ||
			t.seen && state&bitSum == 0 && IsAbsent(c.values[i]) && !c.refused {
			d.fail("state %x of histograms", state)
			return
		}
		if state&bitSum != 0 {
			t.sum = &histogram.FloatHistogram{CounterResetHint: histogram.CounterResetHint(state >> sumHint & 3)}
			sums = append(sums, t.sum)
		}
		if state&bitComp != 0 {
			t.comp = &histogram.FloatHistogram{CounterResetHint: histogram.CounterResetHint(state >> compHint & 3)}
			comps = append(comps, t.comp)
		}
	}
	d.layouts(sums)
	d.layouts(comps)
	for i := range c.histograms {
		if t := &c.histograms[i]; t.comp != nil && d.err == nil && !sameLayout(t.sum, t.comp) {
			d.fail("a sum and what rounding took from it differ in their buckets")
		}
	}
}

func (d *decoder) layouts(hs []*histogram.FloatHistogram) {
	for len(hs) > 0 && d.err == nil {
		n := d.uvarint(len(hs))
		if n == 0 {
			d.fail("empty run")
			return
		}
		d.layout(hs[0])
		if !d.hold(n, int64(hs[0].Size())) {
			return
		}
		for _, h := range hs[1:n] {
			hint := h.CounterResetHint
			*h = *hs[0].Copy()
			h.CounterResetHint = hint
		}
		for i := range numbers(hs[0]) {
			vs := d.floats(n)
			for j, v := range vs {
				*number(hs[j], i) = v
			}
		}
		hs = hs[n:]
	}
}

// layout reads everything of a histogram but its numbers, which are zero. Each bucket has a column
// of at least two bytes to come.
func (d *decoder) layout(h *histogram.FloatHistogram) {
	schema := d.varint()
	if h.Schema = int32(schema); int64(h.Schema) != schema || !histogram.IsValidSchema(h.Schema) {
		d.fail("schema %d", schema)
		return
	}
	if h.ZeroThreshold = d.f64(); !(h.ZeroThreshold >= 0) || math.IsInf(h.ZeroThreshold, 0) {
		d.fail("zero threshold %v", h.ZeroThreshold)
	}
	h.PositiveSpans, h.PositiveBuckets = d.spans()
	h.NegativeSpans, h.NegativeBuckets = d.spans()
	if n := d.uvarint(len(d.b)); n > 0 {
		h.CustomValues = d.floats(n)
	}
	if d.err != nil {
		return
	}
	if err := h.Validate(); err != nil {
		d.fail("%v", err)
	}
}

func (d *decoder) spans() ([]histogram.Span, []float64) {
	n := d.uvarint(len(d.b) / 2)
	if n == 0 || !d.hold(n, int64(unsafe.Sizeof(histogram.Span{}))) {
		return nil, nil
	}
	spans, buckets := make([]histogram.Span, n), 0
	for i := range spans {
		offset := d.varint()
		spans[i] = histogram.Span{Offset: int32(offset), Length: uint32(d.uvarint(len(d.b)))}
		if int64(spans[i].Offset) != offset {
			d.fail("offset %d of a span", offset)
		}
		buckets += int(spans[i].Length)
	}
	if buckets > len(d.b)/2 {
		d.fail("%d buckets in %d bytes", buckets, len(d.b))
	}
	if !d.hold(buckets, 8) {
		return nil, nil
	}
	return spans, make([]float64, buckets)
}
