package index

import (
	"github.com/RoaringBitmap/roaring/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// LabelValues returns the values of the label name, in order, over the series that all matchers
// match.
func LabelValues(src Source, name string, ms ...*labels.Matcher) ([]string, error) {
	within, err := selected(src, ms)
	if err != nil {
		return nil, err
	}
	var (
		values []string
		failed error
	)
	err = src.Values(name, func(value string) bool {
		for _, m := range ms {
			if m.Name == name && !m.Matches(value) {
				return true
			}
		}
		var found bool
		if found, failed = has(src, name, value, within); found {
			values = append(values, value)
		}
		return failed == nil
	})
	if failed != nil {
		return nil, failed
	}
	return values, err
}

// LabelNames returns the label names, in order, of the series that all matchers match.
func LabelNames(src Source, ms ...*labels.Matcher) ([]string, error) {
	within, err := selected(src, ms)
	if err != nil {
		return nil, err
	}
	var (
		names  []string
		failed error
	)
	err = src.Names(func(name string) bool {
		found := false
		if within == nil {
			names = append(names, name)
			return true
		}
		ended := src.Values(name, func(value string) bool {
			found, failed = has(src, name, value, within)
			return !found && failed == nil
		})
		if failed == nil {
			failed = ended
		}
		if found {
			names = append(names, name)
		}
		return failed == nil
	})
	if failed != nil {
		return nil, failed
	}
	return names, err
}

// selected is what the matchers select, nil if there are none.
func selected(src Source, ms []*labels.Matcher) (*roaring.Bitmap, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	return Select(src, ms)
}

// has reports whether a series within the bitmap, nil for all, has the label.
func has(src Source, name, value string, within *roaring.Bitmap) (bool, error) {
	if within == nil {
		return true, nil
	}
	p, err := src.Postings(name, value)
	return err == nil && p != nil && p.Intersects(within), err
}
