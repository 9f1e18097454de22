package index

import (
	"github.com/RoaringBitmap/roaring/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// stringBytes is what a string of a result takes beside its bytes, in a slice that grows.
const stringBytes = 32

// guardedBy is src with take looked at now and then; take, which may be nil, is asked before bytes
// are held for a result.
func guardedBy(src Source, take func(bytes int64) error) (Source, func(bytes int64) error) {
	if take == nil {
		return src, func(int64) error { return nil }
	}
	return Guard(src, func() error { return take(0) }), take
}

// LabelValues returns the values of the label name, in order, over the series that all matchers
// match. take is asked before bytes are held for them, and ends it with an error; nil is no bound.
func LabelValues(src Source, take func(bytes int64) error, name string, ms ...*labels.Matcher) ([]string, error) {
	src, take = guardedBy(src, take)
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
		if found, failed = has(src, name, value, within); !found {
			return failed == nil
		}
		if failed = take(int64(len(value)) + stringBytes); failed == nil {
			values = append(values, value)
		}
		return failed == nil
	})
	if failed != nil {
		return nil, failed
	}
	return values, err
}

// LabelNames returns the label names, in order, of the series that all matchers match. take is as
// in LabelValues.
func LabelNames(src Source, take func(bytes int64) error, ms ...*labels.Matcher) ([]string, error) {
	src, take = guardedBy(src, take)
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
		if failed = take(int64(len(name)) + stringBytes); failed != nil {
			return false
		}
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
