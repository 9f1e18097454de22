package remotewrite

import (
	"errors"
	"fmt"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

var (
	errIs2 = errors.New("this looks like io.prometheus.write.v2.Request, but the content type says prometheus.WriteRequest")
	errIs1 = errors.New("this looks like prometheus.WriteRequest, but the content type says io.prometheus.write.v2.Request")
)

// request1 reads a prometheus.WriteRequest. 1.0 will have no new fields, so that symbols and series
// of 2.0 are told for what they are.
func (d *decoder) request1() error {
	body := d.body
	for i := 0; i < len(body); {
		f, end, err := next(body, i)
		if err != nil {
			return err
		}
		i = end
		switch f.num {
		case 1:
			if err = f.want(bytesType); err == nil {
				err = d.series1(end-len(f.b), end)
			}
		case 3:
			if err = f.want(bytesType); err == nil {
				err = d.metadata1(f.b)
			}
		case 4, 5:
			if f.wire == bytesType {
				err = errIs2
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// series1 reads the TimeSeries in body[from:to].
func (d *decoder) series1(from, to int) error {
	b := d.body[:to]
	run := d.begin()
	var g gather
	i := from
	// Labels come first, and are short.
	for i+1 < to && b[i] == 1<<3|bytesType && b[i+1] < 0x80 {
		i += 2 + int(b[i+1])
	}
	if i > to {
		return errTruncated
	}
	if i > from {
		g.add(d, from, i)
	}
	for i < to {
		if num, start, end := short(b, i); num == 2 {
			if err := d.sample(b[start:end]); err != nil {
				return err
			}
			i = end
			continue
		}
		f, end, err := next(b, i)
		if err != nil {
			return err
		}
		if f.num <= 4 {
			err = f.want(bytesType)
		}
		if err == nil {
			switch f.num {
			case 1:
				g.add(d, i, end)
			case 2:
				err = d.sample(f.b)
			case 3:
				err = d.exemplar1(f.b)
			case 4:
				err = d.histogram(f.b)
			}
		}
		if err != nil {
			return err
		}
		i = end
	}
	run.Key = d.hash.v1.Sum(d.bytes(g.at))
	return d.end(run, g.at)
}

// pairs1 reads repeated Label fields, as they lie in a TimeSeries or an Exemplar.
func pairs1(dst []series.Pair, b []byte) ([]series.Pair, error) {
	for i := 0; i < len(b); {
		f, end, err := next(b, i)
		if err != nil {
			return dst, badLabel(err)
		}
		i = end
		p, err := label1(f.b)
		if err != nil {
			return dst, badLabel(err)
		}
		dst = append(dst, p)
	}
	return dst, nil
}

func badLabel(err error) error { return &ingest.Error{Reason: ingest.BadMessage, Err: err} }

func label1(b []byte) (p series.Pair, err error) {
	for i := 0; i < len(b); {
		f, end, err := next(b, i)
		if err != nil {
			return p, fmt.Errorf("label: %w", err)
		}
		i = end
		switch f.num {
		case 1:
			err, p.Name = f.want(bytesType), f.b
		case 2:
			err, p.Value = f.want(bytesType), f.b
		}
		if err != nil {
			return p, fmt.Errorf("label: %w", err)
		}
	}
	return p, nil
}

func (d *decoder) exemplar1(b []byte) error {
	var e frame.Exemplar
	d.pairs = d.pairs[:0]
	for i := 0; i < len(b); {
		f, end, err := next(b, i)
		if err != nil {
			return err
		}
		i = end
		switch f.num {
		case 1:
			if err = f.want(bytesType); err == nil {
				var p series.Pair
				p, err = label1(f.b)
				d.pairs = append(d.pairs, p)
			}
		case 2:
			err, e.V = f.want(fixed64Type), f.float()
		case 3:
			err, e.T = f.want(varintType), int64(f.v)
		}
		if err != nil {
			return fmt.Errorf("exemplar: %w", err)
		}
	}
	return d.exemplar(e)
}

func (d *decoder) metadata1(b []byte) error {
	var kind uint64
	var m frame.Metadata
	for i := 0; i < len(b); {
		f, end, err := next(b, i)
		if err != nil {
			return err
		}
		i = end
		switch f.num {
		case 1:
			err, kind = f.want(varintType), f.v
		case 2:
			err, m.Metric = f.want(bytesType), string(f.b)
		case 4:
			err, m.Help = f.want(bytesType), string(f.b)
		case 5:
			err, m.Unit = f.want(bytesType), string(f.b)
		}
		if err != nil {
			return fmt.Errorf("metadata: %w", err)
		}
	}
	m.Type = typeName(kind)
	if m.Metric == "" {
		return nil
	}
	d.batch.Metadata = append(d.batch.Metadata, m)
	return d.use(metadataBytes + int64(len(b)))
}
