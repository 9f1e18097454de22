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
		f, end, err := next(b, i)
		if err != nil {
			return err
		}
		if f.num > 1 && f.num <= 5 {
			err = f.want(bytesType)
		}
		if err == nil {
			switch f.num {
			case 1:
				err = g.refs(d, &f, i, end)
			case 2:
				err = d.sample(f.b)
			case 3:
				err = d.histogram(f.b)
			case 4:
				err = d.exemplar2(end-len(f.b), end)
			case 5:
				err = m.read(f.b)
			}
		}
		if err != nil {
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

// refs takes in label references of the field in body[start:end]: packed, or a single one.
func (g *gather) refs(d *decoder, f *field, start, end int) error {
	switch f.wire {
	case bytesType:
		g.add(d, end-len(f.b), end)
	case varintType:
		_, value, _ := varint(d.body, start) // The tag was read before.
		g.add(d, value, end)
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
		u, end, err := varint(b, i)
		if err != nil {
			return key, name, ingest.BadSymbol
		}
		w, end, err := varint(b, end)
		if err != nil {
			return key, name, ingest.BadSymbol
		}
		i = end
		n, v := uint32(u), uint32(w)
		if int(n) >= len(symbols) || int(v) >= len(symbols) {
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
