package remotewrite

import (
	"fmt"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// symbol is a string of a request: where it lies in the body, and its hash.
type symbol struct {
	key      ingest.Key
	from, to uint32
}

// noSymbol is no reference that a request may have.
const noSymbol = 1<<32 - 1

// request2 reads an io.prometheus.write.v2.Request. All symbols should come before the first
// series; if they do not, they are read in a pass of their own.
func (d *decoder) request2() error {
	late, err := d.pass2(true, true)
	if err != nil || !late {
		return err
	}
	d.batch.Reset()
	d.batch.Source = d
	d.raw, d.side, d.symbols = d.raw[:0], d.side[:0], d.symbols[:0]
	d.seen.unmark(d.marks)
	d.marks = d.marks[:0]
	if _, err := d.pass2(true, false); err != nil {
		return err
	}
	_, err = d.pass2(false, true)
	return err
}

// pass2 reads the symbols, the series or both. It stops where a symbol comes after a series.
func (d *decoder) pass2(symbols, timeseries bool) (late bool, err error) {
	body := d.body
	if symbols {
		d.name = noSymbol
	}
	for i := 0; i < len(body); {
		if num, from, to := short(body, i); num == 5 && timeseries {
			if err := d.series2(from, to); err != nil {
				return false, err
			}
			i = to
			continue
		}
		f, end, err := next(body, i)
		if err != nil {
			return false, err
		}
		i = end
		if f.num >= 4 && f.num <= 5 {
			if err := f.want(bytesType); err != nil {
				return false, err
			}
		}
		switch {
		case f.num <= 3 && f.wire == bytesType: // Reserved for ever: 1.0 has its series and metadata here.
			return false, errIs1
		case f.num == 4 && symbols:
			if timeseries && len(d.batch.Runs) > 0 {
				return true, nil
			}
			err = d.symbol(end-len(f.b), end)
		case f.num == 5 && timeseries:
			err = d.series2(end-len(f.b), end)
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

func (d *decoder) symbol(from, to int) error {
	b := d.body[from:to]
	if string(b) == "__name__" {
		d.name = uint32(len(d.symbols))
	}
	d.symbols = append(d.symbols, symbol{key: d.hash.v2.Sum(b), from: uint32(from), to: uint32(to)})
	return d.use(symbolBytes)
}

func (d *decoder) text(ref uint32) []byte {
	s := &d.symbols[ref]
	return d.body[s.from:s.to:s.to]
}

// series2 reads the TimeSeries in body[from:to].
func (d *decoder) series2(from, to int) error {
	b := d.body[:to]
	run := d.begin()
	var g gather
	var m metadata2
	for i := from; i < to; {
		num, start, end := short(b, i)
		if num == 0 {
			f, e, err := next(b, i)
			if err == nil && f.num == 1 && f.wire == varintType {
				g.single(d, i, e)
				i = e
				continue
			}
			if err == nil && f.num <= 5 {
				err = f.want(bytesType)
			}
			if err != nil {
				return err
			}
			num, start, end = f.num, e-len(f.b), e
		}
		if err := d.field2(num, start, end, &g, &m); err != nil {
			return err
		}
		i = end
	}
	var name uint32
	run.Key, name, run.Reason = d.key2(d.bytes(g.at))
	if run.Reason == 0 && m.given() {
		var err error
		if run.Reason, err = d.metadata(name, &m); err != nil {
			return err
		}
	}
	refused := len(d.refused) > 0
	if err := d.end(run, g.at); err != nil {
		return err
	}
	r := &d.batch.Runs[len(d.batch.Runs)-1]
	if !refused && !m.given() && r.Reason == 0 && r.Floats.Len()+r.Histograms.Len()+r.Exemplars.Len() == 0 {
		r.Reason = ingest.EmptySeries
	}
	return nil
}

// field2 reads a field of a TimeSeries, whose value is body[from:to].
func (d *decoder) field2(num, from, to int, g *gather, m *metadata2) error {
	switch num {
	case 1:
		g.add(d, from, to)
	case 2:
		return d.sample(d.body[from:to])
	case 3:
		return d.histogram(d.body[from:to])
	case 4:
		return d.exemplar2(from, to)
	case 5:
		return m.read(d.body[from:to])
	}
	return nil
}

// single takes in one label reference that is not packed, the field in body[start:end].
func (g *gather) single(d *decoder, start, end int) {
	_, value, _ := varint(d.body, start) // The tag was read before.
	g.add(d, value, end)
}

// refs takes in label references of the field in body[start:end]: packed, or a single one.
func (g *gather) refs(d *decoder, f *field, start, end int) error {
	switch f.wire {
	case bytesType:
		g.add(d, end-len(f.b), end)
	case varintType:
		g.single(d, start, end)
	default:
		return fmt.Errorf("labels: %w", f.want(bytesType))
	}
	return nil
}

// key2 mixes the hashes of packed references and finds the metric's name among them.
func (d *decoder) key2(b []byte) (key ingest.Key, name uint32, why ingest.Reason) {
	key, name = d.hash.v2.Start(), noSymbol
	symbols := d.symbols
	for i := 0; i < len(b); {
		n, end := uint32(b[i]), i+1
		if n >= 0x80 {
			n, end = uint32At(b, i)
		}
		if end < 0 || end >= len(b) {
			return key, name, ingest.BadSymbol
		}
		v := uint32(b[end])
		i = end + 1
		if v >= 0x80 {
			v, i = uint32At(b, end)
		}
		if i < 0 || int(n) >= len(symbols) || int(v) >= len(symbols) {
			return key, name, ingest.BadSymbol
		}
		if n == d.name {
			name = v
		}
		key = d.hash.v2.Mix(key, symbols[n].key, symbols[v].key)
	}
	return key, name, 0
}

// pairs2 reads packed references.
func (d *decoder) pairs2(dst []series.Pair, b []byte) ([]series.Pair, error) {
	for i := 0; i < len(b); {
		n, end, err := d.ref(b, i)
		if err != nil {
			return dst, err
		}
		v, end, err := d.ref(b, end)
		if err != nil {
			return dst, err
		}
		i = end
		dst = append(dst, series.Pair{Name: d.text(n), Value: d.text(v)})
	}
	return dst, nil
}

func (d *decoder) ref(b []byte, i int) (ref uint32, end int, err error) {
	u, end, err := varint(b, i)
	if err != nil {
		return 0, 0, ingest.Errorf(ingest.BadSymbol, "an odd number of references, or one cut off")
	}
	if int(uint32(u)) >= len(d.symbols) {
		return 0, 0, ingest.Errorf(ingest.BadSymbol, "reference %d of %d symbols", uint32(u), len(d.symbols))
	}
	return uint32(u), end, nil
}

// exemplar2 reads the Exemplar in body[from:to].
func (d *decoder) exemplar2(from, to int) error {
	b := d.body[:to]
	var e frame.Exemplar
	var g gather
	mark := len(d.side)
	for i := from; i < to; {
		f, end, err := next(b, i)
		if err != nil {
			return err
		}
		switch f.num {
		case 1:
			err = g.refs(d, &f, i, end)
		case 2:
			err, e.V = f.want(fixed64Type), f.float()
		case 3:
			err, e.T = f.want(varintType), int64(f.v)
		}
		if err != nil {
			return fmt.Errorf("exemplar: %w", err)
		}
		i = end
	}
	refs := d.bytes(g.at)
	var err error
	d.pairs, err = d.pairs2(d.pairs[:0], refs)
	d.side = d.side[:mark]
	if err != nil {
		d.refused = append(d.refused, seriesRejection{ingest.BadSymbol, ingest.Counts{Exemplars: 1}, "exemplar"})
		return nil
	}
	return d.exemplar(e)
}
