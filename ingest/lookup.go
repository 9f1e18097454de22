package ingest

import (
	"bytes"
	"context"
	"fmt"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// misses are the runs whose key is not known, and their label sets, each set once.
type misses struct {
	runs  []uint32        // to be looked up
	held  []uint32        // not to be, since nothing of them is taken
	set   []int           // per such run: its place in sets
	sets  []series.Labels // views of text
	text  []byte
	refs  []series.Ref               // per set
	index map[series.Fingerprint]int // the place in sets of the first with the fingerprint
	pairs []series.Pair
}

func (m *misses) reset() {
	clear(m.sets)
	clear(m.index)
	clear(m.pairs[:cap(m.pairs)])
	m.runs, m.held, m.set, m.sets, m.refs, m.pairs = m.runs[:0], m.held[:0], m.set[:0], m.sets[:0], m.refs[:0], m.pairs[:0]
	m.text = m.text[:0]
}

// place returns the place in sets of the label set that m.text ends in from an offset on.
func (m *misses) place(from int) int {
	set := series.Labels(m.text[from:len(m.text):len(m.text)])
	fp := set.Fingerprint()
	at, ok := m.index[fp]
	for ; ok && at < len(m.sets); at++ { // One step, unless fingerprints collide.
		if bytes.Equal(m.sets[at], set) {
			m.text = m.text[:from]
			return at
		}
	}
	if !ok {
		m.index[fp] = len(m.sets)
	}
	m.sets = append(m.sets, set)
	return len(m.sets) - 1
}

// resolve finds or creates the series of all runs without a reference. Those that are refused keep
// none and are counted.
func (w *Writer) resolve(ctx context.Context, b *Batch, s *scratch, age uint32) error {
	m := &s.miss
	m.reset()
	if m.index == nil {
		m.index = make(map[series.Fingerprint]int)
	}
	lim := w.opts.Guard.LabelLimits()
	for i := range b.Runs {
		if s.refs[i] == 0 {
			w.read(ctx, b, s, i, lim)
		}
	}
	w.hold(b, s, age)
	w.metrics.misses.Add(float64(len(m.runs)))
	if len(m.runs) == 0 {
		return nil
	}
	if err := w.refer(ctx, b, s); err != nil {
		return err
	}
	known := m.runs[:0]
	for k, i := range m.runs {
		if s.refs[i] = m.refs[m.set[k]]; s.refs[i] != 0 {
			known = append(known, i)
		}
	}
	w.remember(b, s, known, age)
	return nil
}

func (w *Writer) remember(b *Batch, s *scratch, which []uint32, age uint32) {
	evicted := w.cache.insert(s.refs, s.origins, b.Runs, which, age)
	w.metrics.evictions.Add(float64(evicted))
	w.metrics.entries.Set(float64(w.cache.len()))
}

// hold remembers the origins of series that are not looked up.
func (w *Writer) hold(b *Batch, s *scratch, age uint32) {
	held := s.miss.held
	if len(held) == 0 {
		return
	}
	for _, i := range held {
		s.refs[i] = heldRef
	}
	w.remember(b, s, held, age)
	for _, i := range held {
		s.refs[i] = 0
	}
}

// read checks the labels of run i and adds it to the misses.
func (w *Writer) read(ctx context.Context, b *Batch, s *scratch, i int, lim LabelLimits) {
	run, m := &b.Runs[i], &s.miss
	if run.empty() && run.Reason == 0 { // Metadata alone makes no series.
		return
	}
	why, detail := run.Reason, ""
	if why == 0 {
		why, detail = w.readLabels(b, s, i, lim)
	}
	if why != 0 {
		s.result.Rejections.Add(why, run.counts(), func() string {
			if detail == "" {
				return describeRun(b, i)
			}
			return detail + ": " + describeRun(b, i)
		})
		return
	}
	if len(s.origins) > 0 && s.origins[i] != 0 {
		if v := s.votes.of(ctx, w.opts.Elector, s.origins[i]); v.Known && !s.admit(b, i, v) {
			m.held = append(m.held, uint32(i))
			return
		}
	}
	from := len(m.text)
	for _, p := range m.pairs { // They are sorted, and no name comes twice: see checkLabels.
		if len(p.Value) > 0 {
			m.text = series.AppendPair(m.text, p.Name, p.Value)
		}
	}
	m.runs = append(m.runs, uint32(i))
	m.set = append(m.set, m.place(from))
}

// readLabels reads the labels of run i into the misses' pairs, and its origin from them.
func (w *Writer) readLabels(b *Batch, s *scratch, i int, lim LabelLimits) (why Reason, detail string) {
	m := &s.miss
	var err error
	if m.pairs, err = b.Source.AppendPairs(m.pairs[:0], i); err == nil && w.opts.Elector != nil {
		m.pairs, s.origins[i], err = w.opts.Elector.Origin(m.pairs)
	}
	if err != nil {
		e := AsError(err)
		return e.Reason, e.Detail
	}
	return checkLabels(m.pairs, lim)
}

// refer asks the storage for the references of all sets, and the guard about those that are new.
// Sets that are not admitted get zero.
func (w *Writer) refer(ctx context.Context, b *Batch, s *scratch) (err error) {
	m := &s.miss
	m.refs = w.store.Find(m.refs[:0], m.sets)
	var fresh []int
	for at, ref := range m.refs {
		if ref == 0 {
			fresh = append(fresh, at)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	admitted, why := w.opts.Guard.NewSeries(w.store.Active(), len(fresh))
	if admitted < len(fresh) {
		refused := make(map[int]bool, len(fresh)-admitted)
		for _, at := range fresh[admitted:] {
			refused[at] = true
		}
		for k, i := range m.runs {
			if refused[m.set[k]] {
				s.result.Rejections.Add(why, b.Runs[i].counts(), func() string { return describeRun(b, int(i)) })
			}
		}
	}
	if admitted == 0 {
		return nil
	}
	sets := make([]series.Labels, admitted)
	for k, at := range fresh[:admitted] {
		sets[k] = m.sets[at]
	}
	refs, err := w.store.Refs(ctx, nil, sets)
	if err != nil {
		return fmt.Errorf("look up series: %w", err)
	}
	for k, at := range fresh[:admitted] {
		m.refs[at] = refs[k]
	}
	return nil
}

// storeReasons says what the storage's reasons are here.
var storeReasons = [...]Reason{
	frame.TooOld:    TooOld,
	frame.TooNew:    TooNew,
	frame.BadSample: BadHistogram,
}

// send writes the frame once, and counts. It returns the runs whose reference the storage has
// forgotten; what they hold is not counted.
func (w *Writer) send(ctx context.Context, b *Batch, s *scratch) (lost map[int]bool, err error) {
	f := &s.frame
	if f.Samples()+len(f.Exemplars)+len(f.Metadata) == 0 {
		return nil, nil
	}
	rejected, err := w.store.Append(ctx, f)
	if err != nil {
		return nil, err
	}
	for _, r := range rejected {
		if r.Reason == frame.UnknownRef {
			if lost == nil {
				lost = make(map[int]bool)
			}
			lost[s.origin(b, r.Index).run()] = true
		}
	}
	s.count(b, lost)
	for _, r := range rejected {
		o := s.origin(b, r.Index)
		if lost[o.run()] || !o.counts() {
			continue
		}
		c, t := s.one(r.Index)
		s.result.Written.Add(Counts{Samples: -c.Samples, Histograms: -c.Histograms, Exemplars: -c.Exemplars})
		s.refuse(b, storeReasons[r.Reason], o.run(), c, t)
	}
	return lost, nil
}

// origin of an element of the frame, as the storage counts them: floats, histograms, exemplars.
func (s *scratch) origin(b *Batch, index int) origin {
	if index < len(s.frame.Refs) {
		return s.runOf(b, index)
	}
	index -= len(s.frame.Refs)
	if index < len(s.own.histograms) {
		return s.own.histograms[index]
	}
	return origin(s.own.exemplars[index-len(s.own.histograms)])
}

// one counts an element of the frame and returns its timestamp.
func (s *scratch) one(index int) (Counts, int64) {
	f := &s.frame
	if index < len(f.Refs) {
		return Counts{Samples: 1}, f.Times[index]
	}
	index -= len(f.Refs)
	if index < len(f.Histograms) {
		return Counts{Histograms: 1}, f.Histograms[index].T
	}
	return Counts{Exemplars: 1}, f.Exemplars[index-len(f.Histograms)].T
}

// count adds to the written counts what the frame holds of runs that are not lost.
func (s *scratch) count(b *Batch, lost map[int]bool) {
	f, w := &s.frame, &s.result.Written
	w.Metadata += len(f.Metadata)
	if lost == nil && s.own.plain {
		w.Samples += len(f.Refs)
	} else {
		for j := range f.Refs {
			if o := s.runOf(b, j); o.counts() && !lost[o.run()] {
				w.Samples++
			}
		}
	}
	for j := range f.Histograms {
		if o := s.own.histograms[j]; o.counts() && !lost[o.run()] {
			w.Histograms++
		}
	}
	for j := range f.Exemplars {
		if !lost[int(s.own.exemplars[j])] {
			w.Exemplars++
		}
	}
}

// again looks the lost runs up anew and writes them once more.
func (w *Writer) again(ctx context.Context, b *Batch, s *scratch, lost map[int]bool, age uint32) error {
	w.metrics.unknown.Add(float64(len(lost)))
	which := make([]uint32, 0, len(lost))
	for i := range lost {
		which = append(which, uint32(i))
	}
	w.cache.forget(s.refs, b.Runs, which)
	rest := s.kept(b, which)
	sofar := s.result
	s.begin(len(rest.Runs), s.bounds, w.opts.Elector != nil)
	s.result = sofar
	clear(s.refs)
	if err := w.resolve(ctx, &rest, s, age); err != nil {
		return err
	}
	w.fill(&rest, s)
	still, err := w.send(ctx, &rest, s)
	if err == nil && len(still) > 0 {
		return &Error{Reason: StoreUnavailable, Detail: "a series was forgotten twice while its samples were written"}
	}
	return err
}

// kept copies what some runs hold and was not refused before.
func (s *scratch) kept(b *Batch, which []uint32) Batch {
	rest := Batch{Source: subset{b.Source, which}}
	for _, i := range which {
		run, c := &b.Runs[i], Run{Key: b.Runs[i].Key}
		c.Floats.From, c.Histograms.From, c.Exemplars.From =
			uint32(len(rest.Times)), uint32(len(rest.Histograms)), uint32(len(rest.Exemplars))
		for j := run.Floats.From; j < run.Floats.To; j++ {
			if s.bounds.reason(b.Times[j]) == 0 {
				rest.Times, rest.Values = append(rest.Times, b.Times[j]), append(rest.Values, b.Values[j])
				if len(b.Starts) > 0 {
					rest.Starts = append(rest.Starts, b.Starts[j])
				}
			}
		}
		for j := run.Histograms.From; j < run.Histograms.To; j++ {
			if h := b.Histograms[j]; s.bounds.reason(h.T) == 0 && checkHistogram(&h) == nil {
				rest.Histograms = append(rest.Histograms, h)
			}
		}
		for j := run.Exemplars.From; j < run.Exemplars.To; j++ {
			if e := b.Exemplars[j]; e.T == 0 || s.bounds.reason(e.T) == 0 {
				rest.Exemplars = append(rest.Exemplars, e)
			}
		}
		c.Floats.To, c.Histograms.To, c.Exemplars.To =
			uint32(len(rest.Times)), uint32(len(rest.Histograms)), uint32(len(rest.Exemplars))
		rest.Runs = append(rest.Runs, c)
	}
	return rest
}

// subset is the Labeler of some runs of another.
type subset struct {
	of   Labeler
	runs []uint32
}

func (s subset) AppendPairs(dst []series.Pair, run int) ([]series.Pair, error) {
	return s.of.AppendPairs(dst, int(s.runs[run]))
}
