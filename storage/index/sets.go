package index

// sets are the label sets of series, as uvarint pair numbers, in pages of one piece of memory each:
// a string for each would cost twice as much, and the garbage collector a look at each.
type sets struct{ pages []*setPage }

const setsPerPage = 1024

type setPage struct {
	text []byte
	at   [setsPerPage]span
	dead int // bytes of text that no set has
}

// span is where a set lies in its page's text.
type span struct{ from, to uint32 }

// get returns the set of a number, empty if there is none. It is valid until the next put.
func (s *sets) get(id uint32) []byte {
	if int(id/setsPerPage) >= len(s.pages) || s.pages[id/setsPerPage] == nil {
		return nil
	}
	p := s.pages[id/setsPerPage]
	at := p.at[id%setsPerPage]
	return p.text[at.from:at.to]
}

// put sets the set of a number, which is copied; an empty one takes it out. Pages that no number
// needs are not made.
func (s *sets) put(id uint32, set []byte) {
	for int(id/setsPerPage) >= len(s.pages) {
		s.pages = append(s.pages, nil)
	}
	p := s.pages[id/setsPerPage]
	if p == nil {
		p = &setPage{}
		s.pages[id/setsPerPage] = p
	}
	at := &p.at[id%setsPerPage]
	p.dead += int(at.to - at.from)
	*at = span{uint32(len(p.text)), uint32(len(p.text) + len(set))}
	p.text = append(p.text, set...)
	if p.dead > len(p.text)/2 {
		p.tidy()
	}
}

// tidy gets rid of what is dead.
func (p *setPage) tidy() {
	text := make([]byte, 0, len(p.text)-p.dead)
	for i, at := range p.at {
		from := uint32(len(text))
		text = append(text, p.text[at.from:at.to]...)
		p.at[i] = span{from, uint32(len(text))}
	}
	p.text, p.dead = text, 0
}
