package partial

import "github.com/prometheus/prometheus/model/histogram"

// total is a sum of histograms at one step.
type total struct {
	// seen says that a histogram was met. There is no sum of those met after a float.
	seen      bool
	sum, comp *histogram.FloatHistogram // comp is what rounding took from sum, nil for nothing.
	// Counter reset hints that were met.
	reset, notReset bool
}

func (c *Column) addHistograms(hs []*histogram.FloatHistogram) {
	if c.histograms == nil && (c.Op == Sum || c.Op == Avg) {
		c.histograms = make([]total, c.Steps)
	}
	for i, h := range hs {
		if h == nil {
			continue
		}
		switch c.Op {
		case Sum, Avg:
			c.addHistogram(i, h)
		case Count:
			c.count(i, 1)
		case Group:
			c.values[i] = 1
		case TopK, BottomK:
			if c.k(i) > 0 {
				c.notes |= IgnoredHistograms
			}
		default:
			c.notes |= IgnoredHistograms
		}
	}
}

func (c *Column) addHistogram(i int, h *histogram.FloatHistogram) {
	t := &c.histograms[i]
	first := !t.seen && IsAbsent(c.values[i])
	t.seen = true
	if c.Op == Avg {
		c.counts[i]++
	}
	switch {
	case first:
		t.sum = h.Copy()
		t.hint(h)
	case t.sum != nil:
		t.hint(h)
		if !c.addTo(t, h) {
			c.refused = true
			t.sum = nil
		}
	}
}

func (t *total) hint(h *histogram.FloatHistogram) {
	t.reset = t.reset || h.CounterResetHint == histogram.CounterReset
	t.notReset = t.notReset || h.CounterResetHint == histogram.NotCounterReset
}

// addTo returns false where the histograms can't be added, or not as they are.
func (c *Column) addTo(t *total, h *histogram.FloatHistogram) bool {
	comp, _, reconciled, err := t.sum.KahanAdd(h, t.comp)
	if err != nil {
		return false
	}
	t.comp = comp
	if reconciled {
		c.notes |= MismatchedBounds
	}
	return c.Op != Avg || !t.sum.HasOverflow()
}

// mergeHistograms refuses where only the order says which histograms would have been added, or how
// wide the zero bucket gets.
func (c *Column) mergeHistograms(other *Column) bool {
	if c.histograms == nil && other.histograms == nil {
		return true
	}
	if c.histograms == nil {
		c.histograms = make([]total, c.Steps)
	}
	for i := range other.histograms {
		t, o := &c.histograms[i], &other.histograms[i]
		switch {
		case !o.seen:
			continue
		case !t.seen && IsAbsent(c.values[i]):
			*t = *o
			continue
		case t.sum == nil || o.sum == nil || t.sum.ZeroThreshold != o.sum.ZeroThreshold:
			return false
		}
		t.reset, t.notReset = t.reset || o.reset, t.notReset || o.notReset
		if !c.addTo(t, o.sum) {
			return false
		}
		if o.comp != nil {
			o.comp.CounterResetHint = t.sum.CounterResetHint
			if !c.addTo(t, o.comp) {
				return false
			}
		}
	}
	return true
}

// finishHistograms returns the sums or averages, nil where there were no histograms at all. Where
// there were floats as well, there is no result.
func (c *Column) finishHistograms() []*histogram.FloatHistogram {
	if c.histograms == nil {
		return nil
	}
	out := make([]*histogram.FloatHistogram, c.Steps)
	for i := range c.histograms {
		t := &c.histograms[i]
		if !t.seen {
			continue
		}
		if !IsAbsent(c.values[i]) {
			c.values[i] = Absent
			c.notes |= MixedTypes
			continue
		}
		out[i] = c.finishHistogram(t, c.counts, i)
		if t.reset && t.notReset {
			c.notes |= ResetCollision
		}
	}
	return out
}

func (c *Column) finishHistogram(t *total, counts []float64, i int) *histogram.FloatHistogram {
	h := t.sum
	if c.Op == Avg {
		h = h.Div(counts[i])
		if t.comp != nil {
			t.comp.Div(counts[i])
		}
	}
	if t.comp != nil {
		if added, _, _, err := h.Add(t.comp); err == nil {
			h = added
		} else {
			c.refused = true
		}
	}
	return h.Compact(0)
}
