package eval

import "github.com/barograph-db/barograph/storage/chunk"

// pickPays is of how many samples a step is to be, on average, for picks to take less time than all.
const pickPays = 8

// pick returns the positions of the samples that are looked at, valid until the next call; none
// where that is many of them.
func (w *work) pick(sees sight) chunk.Picks {
	if sees == seesAll || len(w.spans) == 0 || pickPays*len(w.ends) > len(w.values) {
		return nil
	}
	words := len(w.values)/64 + 2
	if cap(w.picks) < words {
		w.picks = make(chunk.Picks, 2*words)
	}
	w.picks = w.picks[:words]
	clear(w.picks)
	for i, hi := range w.hi {
		lo := w.lo[i]
		if hi <= lo {
			continue
		}
		switch sees {
		case seesFirst:
			w.picks.Set(int(lo))
		case seesLast:
			w.picks.Set(int(hi) - 1)
		case seesLastTwo:
			w.picks.Set(max(int(hi)-2, 0))
			w.picks.Set(int(hi) - 1)
		case seesEnds:
			w.picks.Set(int(lo))
			w.picks.Set(int(hi) - 1)
		}
	}
	if sees == seesEnds { // Whether a counter was reset between chunks as well.
		for _, s := range w.spans {
			if w.joins(s) {
				w.picks.Set(s.from - 1)
				w.picks.Set(s.from)
			}
		}
	}
	return w.picks
}
