package index

import (
	"cmp"
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Select returns the series that all matchers match. The result is the caller's own.
func Select(src Source, ms []*labels.Matcher) (*roaring.Bitmap, error) {
	s := selection{src: src}
	for _, m := range inOrder(ms) {
		err := s.apply(m)
		if err != nil {
			return nil, err
		}
		if s.left != nil && s.left.IsEmpty() {
			return s.left, nil
		}
	}
	if s.left == nil {
		s.left = src.All().Clone()
	}
	return s.left, nil
}

// inOrder sorts matchers by what they cost and how much they can be expected to leave.
func inOrder(ms []*labels.Matcher) []*labels.Matcher {
	ms = slices.Clone(ms)
	slices.SortStableFunc(ms, func(a, b *labels.Matcher) int { return cmp.Compare(rank(a), rank(b)) })
	return ms
}

func rank(m *labels.Matcher) int {
	sets := len(m.SetMatches()) > 0
	switch {
	case m.Matches(""): // These only take away.
		if m.Type == labels.MatchNotEqual || sets {
			return 5
		}
		return 6
	case m.Type == labels.MatchEqual && m.Name == model.MetricNameLabel:
		return 0
	case m.Type == labels.MatchEqual:
		return 1
	case sets:
		return 2
	case m.Prefix() != "":
		return 3
	}
	return 4
}

// selection is a result on its way: what the matchers so far have left, nil before the first.
type selection struct {
	src  Source
	left *roaring.Bitmap
}

func (s *selection) apply(m *labels.Matcher) error {
	switch empty := m.Matches(""); {
	case m.Type == labels.MatchEqual && !empty:
		return s.keepValue(m.Name, m.Value)
	case empty:
		return s.drop(m)
	}
	return s.keep(m)
}

func (s *selection) keepValue(name, value string) error {
	p, err := s.src.Postings(name, value)
	switch {
	case err != nil:
		return err
	case p == nil:
		s.left = roaring.New()
	case s.left == nil:
		s.left = p.Clone()
	default:
		s.left.And(p)
	}
	return nil
}

// keep leaves the series that have the label with a value that m matches.
func (s *selection) keep(m *labels.Matcher) error {
	// Values may be as many as series, and the bitmap of one takes hundreds of bytes: they are joined
	// before they become many.
	const atOnce = 1024
	var parts []*roaring.Bitmap
	join := func() *roaring.Bitmap { return roaring.FastOr(parts...) }
	err := s.each(m, true, func(p *roaring.Bitmap) {
		if len(parts) == atOnce {
			parts = append(parts[:0], join())
		}
		switch {
		case s.left == nil:
			parts = append(parts, p)
		case s.left.Intersects(p):
			parts = append(parts, roaring.And(s.left, p))
		}
	})
	if err != nil {
		return err
	}
	s.left = join()
	return nil
}

// drop takes away the series that have the label with a value that m does not match.
func (s *selection) drop(m *labels.Matcher) error {
	return s.each(m, false, func(p *roaring.Bitmap) {
		if s.left == nil {
			s.left = s.src.All().Clone()
		}
		s.left.AndNot(p)
	})
}

// each calls fn with the postings of each value of the label that m matches, or that it does not
// match, as wanted.
func (s *selection) each(m *labels.Matcher, matching bool, fn func(p *roaring.Bitmap)) error {
	return eachValue(s.src, m, matching, func(value string) error {
		p, err := s.src.Postings(m.Name, value)
		if err == nil && p != nil {
			fn(p)
		}
		return err
	})
}

// eachValue calls fn with each value of the label that m matches, or that it does not match. Where
// m itself lists those values, they are not looked for.
func eachValue(src Source, m *labels.Matcher, matching bool, fn func(value string) error) error {
	listed := m.SetMatches()
	if !matching && (m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp) ||
		matching && (m.Type == labels.MatchNotEqual || m.Type == labels.MatchNotRegexp) {
		listed = nil // The list is of the other values.
	} else if m.Type == labels.MatchNotEqual && m.Value != "" {
		listed = []string{m.Value}
	}
	if len(listed) > 0 {
		for _, value := range slices.Compact(slices.Sorted(slices.Values(listed))) {
			if err := fn(value); err != nil {
				return err
			}
		}
		return nil
	}

	prefix := ""
	if matching && m.Type == labels.MatchRegexp {
		prefix = m.Prefix()
	}
	var failed error
	err := src.Values(m.Name, func(value string) bool {
		if !strings.HasPrefix(value, prefix) {
			return value < prefix // Behind the prefix there is nothing more to find.
		}
		if m.Matches(value) == matching {
			failed = fn(value)
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}
