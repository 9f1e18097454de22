package remotewrite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// version of the protocol.
type version uint8

const (
	v1 version = 1
	v2 version = 2
)

// hashers has one Hasher per version: keys of one can't stand for the other's.
type hashers struct{ v1, v2 *ingest.Hasher }

// decoder turns one body into a batch, whose Labeler it is. It is reused for many requests.
type decoder struct {
	batch   ingest.Batch
	hash    hashers
	seen    *seen  // metadata of 2.0 lately passed on
	period  uint64 // in which the request is decoded, for seen
	version version
	body    []byte
	// side holds label bytes (1.0) or references (2.0) that were gathered.
	side []byte
	raw  []rawLabels // per run

	symbols []symbol
	name    uint32 // the symbol "__name__", if there is one
	marks   []uint32

	buckets int               // the most of one histogram
	pairs   []series.Pair     // scratch
	refused []seriesRejection // of the run being read
	memory
}

// rawLabels is where a run's label bytes, or references, lie: in the body, or in side.
type rawLabels struct {
	from, to uint32
	side     bool
}

// seriesRejection waits for the labels of its series to be read.
type seriesRejection struct {
	reason ingest.Reason
	counts ingest.Counts
	detail string
}

// memory is what a decoded request may take. Take is asked for it in large pieces.
type memory struct {
	take  func(int64) error
	most  int64 // that may be taken
	paid  int64
	spare int64 // paid for and not used yet
}

// Decoded sizes of what is repeated.
const (
	floatBytes     = 24
	runBytes       = int64(unsafe.Sizeof(ingest.Run{}) + unsafe.Sizeof(rawLabels{}))
	symbolBytes    = int64(unsafe.Sizeof(symbol{}))
	histogramBytes = int64(unsafe.Sizeof(frame.Histogram{})) + 256
	exemplarBytes  = int64(unsafe.Sizeof(frame.Exemplar{}))
	metadataBytes  = int64(unsafe.Sizeof(frame.Metadata{}))
	memoryQuantum  = 256 << 10
)

// use accounts for n bytes.
func (m *memory) use(n int64) error {
	if m.spare -= n; m.spare >= 0 {
		return nil
	}
	return m.pay()
}

func (m *memory) pay() error {
	n := max(-m.spare, memoryQuantum)
	if m.paid += n; m.paid > m.most+memoryQuantum {
		return ingest.Errorf(ingest.DecodedTooLarge, "the limit is %d bytes", m.most)
	}
	m.spare += n
	return m.take(n)
}

// decode reads body, which must not change until the batch is done with.
func (d *decoder) decode(v version, body []byte) error {
	d.reset()
	d.version, d.body = v, body
	d.batch.Source = d
	d.period = seenPeriod(time.Now())
	var err error
	if v == v1 {
		err = d.request1()
	} else {
		err = d.request2()
	}
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*ingest.Error](err); ok {
		return e
	}
	return &ingest.Error{Reason: ingest.BadMessage, Err: err}
}

func (d *decoder) reset() {
	d.batch.Reset()
	clear(d.pairs[:cap(d.pairs)])
	clear(d.refused)
	d.body, d.side, d.raw = nil, d.side[:0], d.raw[:0]
	d.symbols, d.marks, d.refused = d.symbols[:0], d.marks[:0], d.refused[:0]
	d.paid, d.spare = 0, 0
}

// maxPooled bounds the columns of decoders that are kept for later requests.
const maxPooled = 1 << 16

// small reports whether the decoder is worth keeping.
func (d *decoder) small() bool {
	b := &d.batch
	return max(cap(b.Runs), cap(b.Times), cap(b.Histograms), cap(b.Exemplars), cap(b.Metadata), cap(d.symbols), cap(d.side)/16) <= maxPooled
}

// begin starts a run at the ends of the columns.
func (d *decoder) begin() ingest.Run {
	b := &d.batch
	var r ingest.Run
	r.Floats.From, r.Histograms.From, r.Exemplars.From =
		uint32(len(b.Times)), uint32(len(b.Histograms)), uint32(len(b.Exemplars))
	return r
}

// end adds the run with what was put in the columns since it began.
func (d *decoder) end(r ingest.Run, raw rawLabels) error {
	b := &d.batch
	r.Floats.To, r.Histograms.To, r.Exemplars.To =
		uint32(len(b.Times)), uint32(len(b.Histograms)), uint32(len(b.Exemplars))
	b.Runs = append(b.Runs, r)
	d.raw = append(d.raw, raw)
	if len(d.refused) > 0 {
		d.refuse()
	}
	return d.use(runBytes)
}

// refuse adds what was refused of the last run.
func (d *decoder) refuse() {
	for _, r := range d.refused {
		d.batch.Rejections.Add(r.reason, r.counts, func() string {
			pairs, err := d.AppendPairs(nil, len(d.batch.Runs)-1)
			if err != nil {
				return r.detail
			}
			return r.detail + " of " + ingest.Describe(pairs)
		})
	}
	clear(d.refused)
	d.refused = d.refused[:0]
}

// AppendPairs implements ingest.Labeler.
func (d *decoder) AppendPairs(dst []series.Pair, run int) ([]series.Pair, error) {
	at := d.raw[run]
	from := d.body
	if at.side {
		from = d.side
	}
	if d.version == v1 {
		return pairs1(dst, from[at.from:at.to])
	}
	return d.pairs2(dst, from[at.from:at.to])
}

// gather collects pieces of a run's label bytes. Pieces that follow each other stay where they are.
type gather struct {
	at    rawLabels
	begun bool
}

// add takes body[from:to] in.
func (g *gather) add(d *decoder, from, to int) {
	switch {
	case !g.begun:
		g.at, g.begun = rawLabels{from: uint32(from), to: uint32(to)}, true
	case !g.at.side && int(g.at.to) == from:
		g.at.to = uint32(to)
	default:
		if !g.at.side {
			start := uint32(len(d.side))
			d.side = append(d.side, d.body[g.at.from:g.at.to]...)
			g.at = rawLabels{from: start, side: true}
		}
		d.side = append(d.side, d.body[from:to]...)
		g.at.to = uint32(len(d.side))
	}
}

func (d *decoder) bytes(at rawLabels) []byte {
	if at.side {
		return d.side[at.from:at.to]
	}
	return d.body[at.from:at.to]
}

// sample reads a Sample of either version; 1.0 has no field 3.
func (d *decoder) sample(b []byte) error {
	var v float64
	var t, st int64
	// Nearly all are a value and a timestamp.
	if len(b) > 10 && b[0] == 1<<3|fixed64Type && b[9] == 2<<3|varintType {
		u, end, err := varint(b, 10)
		if err != nil {
			return err
		}
		if end == len(b) {
			return d.float(int64(u), 0, math.Float64frombits(binary.LittleEndian.Uint64(b[1:])))
		}
	}
	for i := 0; i < len(b); {
		f, end, err := next(b, i)
		if err != nil {
			return err
		}
		i = end
		switch {
		case f.num == 1:
			err, v = f.want(fixed64Type), f.float()
		case f.num == 2:
			err, t = f.want(varintType), int64(f.v)
		case f.num == 3 && d.version == v2:
			err, st = f.want(varintType), int64(f.v)
		}
		if err != nil {
			return fmt.Errorf("sample: %w", err)
		}
	}
	return d.float(t, st, v)
}

func (d *decoder) float(t, st int64, v float64) error {
	b := &d.batch
	b.Times, b.Values = append(b.Times, t), append(b.Values, v)
	if st != 0 || len(b.Starts) > 0 {
		for len(b.Starts) < len(b.Times)-1 {
			b.Starts = append(b.Starts, 0)
		}
		b.Starts = append(b.Starts, st)
	}
	return d.use(floatBytes)
}
