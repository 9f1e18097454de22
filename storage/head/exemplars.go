package head

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/index"
	"github.com/barograph-db/barograph/storage/series"
)

// ExemplarSeries is a series with its exemplars by time.
type ExemplarSeries = frame.ExemplarSeries

// maxExemplarRunes bounds the names and values of an exemplar's labels together, as OpenMetrics
// does.
const maxExemplarRunes = 128

// exemplars keeps the newest exemplars of all series in a ring; the oldest by arrival leaves. Each
// series' exemplars are taken in order of (time, value, labels) only, so that what comes again is
// told apart by the series' last one alone.
type exemplars struct {
	room int
	mu   struct {
		sync.Mutex
		ring []frame.Exemplar
		next int                // the place of the oldest once the ring is full
		last map[series.Ref]int // the place of each series' newest
	}
}

func (e *exemplars) init(room int) {
	e.room = room
	e.mu.last = map[series.Ref]int{}
}

// exemplars puts the frame's exemplars in, of series that are known.
func (b *batch) exemplars(known func(series.Ref) bool) {
	f := b.frame
	for i, x := range f.Exemplars {
		if !known(x.Ref) {
			b.reject(f.Samples()+i, frame.UnknownRef)
			continue
		}
		if reason := b.head.exemplars.add(b.head.metrics, &b.tally, x); reason != 0 {
			b.reject(f.Samples()+i, reason)
		}
	}
}

func (h *Head) alive(ref series.Ref) bool {
	return ref.Generation() != 0 && h.generationAt(ref.Index()) == ref.Generation()
}

func (e *exemplars) add(m *metrics, t *tally, x frame.Exemplar) frame.Reason {
	runes := 0
	for name, value := range x.Labels.All() {
		runes += utf8.RuneCount(name) + utf8.RuneCount(value)
	}
	if runes > maxExemplarRunes || e.room < 0 {
		return frame.BadSample
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if at, ok := e.mu.last[x.Ref]; ok {
		switch c := compareExemplars(x, e.mu.ring[at]); {
		case c == 0:
			t.exemplarDuplicates++
			return 0
		case c < 0:
			return frame.TooOld
		}
	}
	x.Labels = slices.Clone(x.Labels)
	t.exemplars++
	if len(e.mu.ring) < e.room {
		e.mu.last[x.Ref] = len(e.mu.ring)
		e.mu.ring = append(e.mu.ring, x)
		return 0
	}
	at := e.mu.next
	if old := e.mu.ring[at].Ref; e.mu.last[old] == at {
		delete(e.mu.last, old)
	}
	m.exemplarsEvicted.Inc()
	e.mu.ring[at], e.mu.last[x.Ref] = x, at
	e.mu.next = (at + 1) % e.room
	return 0
}

func compareExemplars(a, b frame.Exemplar) int {
	return cmp.Or(cmp.Compare(a.T, b.T),
		cmp.Compare(math.Float64bits(a.V), math.Float64bits(b.V)),
		series.CompareBytes(a.Labels, b.Labels))
}

// all returns the exemplars in order of arrival.
func (e *exemplars) all() []frame.Exemplar {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append(slices.Clone(e.mu.ring[e.mu.next:]), e.mu.ring[:e.mu.next]...)
}

// Exemplars returns the exemplars in [mint, maxt] of the series that match all matchers of any of
// the sets, sorted by series.Compare and time. Those of series that the head has forgotten are not
// found.
func (h *Head) Exemplars(mint, maxt int64, ms ...[]*labels.Matcher) ([]ExemplarSeries, error) {
	ids := roaring.New()
	for _, set := range ms {
		found, err := index.Select(h.index, set)
		if err != nil {
			return nil, err
		}
		ids.Or(found)
	}
	bySeries := map[series.Ref][]frame.Exemplar{}
	for _, x := range h.exemplars.all() {
		if x.T >= mint && x.T <= maxt && ids.Contains(x.Ref.Index()) && h.alive(x.Ref) {
			bySeries[x.Ref] = append(bySeries[x.Ref], x)
		}
	}
	out := make([]ExemplarSeries, 0, len(bySeries))
	names := h.index.Read()
	for ref, xs := range bySeries {
		ls := names.AppendLabels(nil, ref.Index())
		if len(ls) > 0 {
			out = append(out, ExemplarSeries{Labels: ls, Exemplars: xs})
		}
	}
	names.Close()
	slices.SortFunc(out, func(a, b ExemplarSeries) int {
		return series.Compare(a.Labels.Fingerprint(), a.Labels, b.Labels.Fingerprint(), b.Labels)
	})
	return out, nil
}
