package wire

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/barograph-db/barograph/querier/eval"
	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/partial"
	"github.com/barograph-db/barograph/storage/series"
)

// Partial has the node compute an aggregation over the series that match.
func (r *Remote) Partial(ctx context.Context, sel series.Selector, q leaf.Request) (*leaf.Partial, error) {
	req := &request{
		selector: sel, sets: [][]Matcher{toSend(sel.Matchers)},
		expr: q.Encoded, grid: q.Params.Grid, lookback: q.Params.Lookback, perStep: q.Params.PerStep,
	}
	a, err := r.ask(ctx, methodPartial, req, sel.Take)
	if err != nil {
		return nil, err
	}
	defer a.close()
	part, err := a.partial(q.Expr)
	if err != nil {
		return nil, err
	}
	return &leaf.Partial{Part: part, Received: a.size}, nil
}

// partial reads the answer: what there is to say about it, and then its groups.
func (a *answer) partial(x *eval.Expr) (*eval.Part, error) {
	var part *eval.Part
	var sets []*partial.Set
	groups := 0
	for {
		body, err := a.next(func() int { return groups })
		switch {
		case err != nil:
			return nil, err
		case a.done && len(sets) == 0:
			return nil, malformed("a partial result without groups")
		case a.done:
			set, ok := partial.Merge(sets...)
			if !ok {
				return nil, malformed("partial results that don't belong together")
			}
			part.Set = set
			return part, nil
		}
		head, err := a.head(body)
		if err != nil {
			return nil, err
		}
		if part == nil {
			if part, err = decodeStatistics(head, x, a.take); err != nil {
				return nil, err
			}
			continue
		}
		set, err := partial.Decode(head, a.take)
		if err != nil {
			return nil, err
		}
		groups += len(set.Groups)
		sets = append(sets, set)
	}
}

// head opens a batch that has nothing else.
func (a *answer) head(body []byte) ([]byte, error) {
	head, rows, err := openBatch(body, a.take)
	if err == nil && len(rows) > 0 {
		err = malformed("rows in a partial result")
	}
	return head, err
}

// The flags of the statistics.
const (
	flagDropped = 1 << iota
	flagDiffer
)

func appendStatistics(dst []byte, p *eval.Part) []byte {
	for _, n := range []int64{int64(p.Read), p.Samples, p.NewSamples, p.Points, p.Bytes} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	flags := byte(0)
	if p.Dropped != nil {
		flags |= flagDropped
	}
	if p.Differ {
		flags |= flagDiffer
	}
	dst = appendText(append(dst, flags), p.Dropped)
	dst = binary.AppendUvarint(dst, uint64(len(p.Steps.Samples)))
	for i, n := range p.Steps.Samples {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(n)), uint64(p.Steps.NewSamples[i]))
	}
	notes := eval.Notes(p.Annotations)
	dst = binary.AppendUvarint(dst, uint64(len(notes)))
	for _, n := range notes {
		info := byte(0)
		if n.Info {
			info = 1
		}
		dst = appendText(append(dst, info), n.Text)
	}
	return dst
}

func decodeStatistics(b []byte, x *eval.Expr, take func(int64) error) (*eval.Part, error) {
	const noteBytes = 128
	d := decoder{rest: b}
	p := &eval.Part{Read: int(d.number()), Samples: d.number(), NewSamples: d.number(), Points: d.number(), Bytes: d.number()}
	flags, dropped := d.byte(), d.labels()
	if flags > flagDropped|flagDiffer || flags&flagDropped == 0 && (len(dropped) > 0 || flags != 0) {
		d.fail("flags %d of statistics", flags)
	}
	if p.Differ = flags&flagDiffer != 0; flags&flagDropped != 0 {
		p.Dropped = append(series.Labels{}, dropped...)
	}
	if steps := d.count(2); steps > 0 {
		if err := take(2 * 8 * int64(steps)); err != nil {
			return nil, err
		}
		p.Steps = eval.Statistics{Samples: make([]int64, steps), NewSamples: make([]int64, steps)}
		for i := range steps {
			p.Steps.Samples[i], p.Steps.NewSamples[i] = d.number(), d.number()
		}
	}
	var notes []eval.Note
	for range d.count(2) {
		info := d.byte()
		if info > 1 {
			d.fail("note of level %d", info)
		}
		n := eval.Note{Info: info == 1, Text: string(d.text())}
		if d.err != nil {
			break
		}
		if err := take(noteBytes + int64(len(n.Text))); err != nil {
			return nil, err
		}
		notes = append(notes, n)
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	p.Annotations = x.Annotate(notes)
	return p, nil
}

// number is how many there are of something; sums of them don't overflow.
func (d *decoder) number() int64 {
	n := d.uvarint()
	if n > math.MaxInt64>>16 {
		d.fail("%d of something", n)
		return 0
	}
	return int64(n)
}
