package index

import "github.com/RoaringBitmap/roaring/v2"

// Source is an index to evaluate matchers on. Its bitmaps may be shared: they are read only.
type Source interface {
	// All series.
	All() *roaring.Bitmap
	// Postings of the series with this label; nil if there are none.
	Postings(name, value string) (*roaring.Bitmap, error)
	// Values calls fn for each value of the label name in order until it returns false.
	Values(name string, fn func(value string) bool) error
	// Names calls fn for each label name in order until it returns false.
	Names(fn func(name string) bool) error
}

// guardEvery is the number of values between two checks of a guarded source. A value costs a
// regular expression at most, so that this many pass within a few milliseconds.
const guardEvery = 128

// Guard returns src with a check that ends long evaluations: it is called every so many values,
// and an error of it ends the walk and whatever asked for it with that error.
func Guard(src Source, check func() error) Source { return guarded{src, check} }

type guarded struct {
	Source
	check func() error
}

func (g guarded) Values(name string, fn func(value string) bool) error {
	n := 0
	var failed error
	err := g.Source.Values(name, func(value string) bool {
		if n++; n%guardEvery == 0 {
			if failed = g.check(); failed != nil {
				return false
			}
		}
		return fn(value)
	})
	if failed != nil {
		return failed
	}
	return err
}
