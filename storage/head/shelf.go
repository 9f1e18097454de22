package head

import "iter"

// shelf has one worker's samples of a group of frames by page: a list of runs for each, in the order
// of the log.
type shelf struct {
	runs  []run
	lists []runs   // by page
	used  []uint32 // pages with a list
}

// run is neighbouring samples of one page in a frame: floats, or one histogram.
type run struct {
	from, to   uint32
	next       uint32 // of the same page: its place and one more; zero is none
	frame      uint16
	histograms bool
}

// runs is a list: the places of its first and last, and one more.
type runs struct {
	first, last uint32
	odd         bool // It has other samples than wanted floats without start timestamps.
}

// add puts a run behind those of its page, which is one of so many.
func (s *shelf) add(page uint32, pages int, r run, odd bool) {
	if len(s.lists) < pages {
		s.lists = append(s.lists, make([]runs, pages-len(s.lists))...)
	}
	s.runs = append(s.runs, r)
	l, at := &s.lists[page], uint32(len(s.runs))
	if l.first == 0 {
		l.first = at
		s.used = append(s.used, page)
	} else {
		s.runs[l.last-1].next = at
	}
	l.last = at
	l.odd = l.odd || odd
}

// of yields the runs of a page.
func (s *shelf) of(page uint32) iter.Seq[run] {
	return func(yield func(run) bool) {
		for at := s.lists[page].first; at != 0; at = s.runs[at-1].next {
			if !yield(s.runs[at-1]) {
				return
			}
		}
	}
}

func (s *shelf) clear() {
	for _, page := range s.used {
		s.lists[page] = runs{}
	}
	s.runs, s.used = s.runs[:0], s.used[:0]
}
