package head

import (
	"slices"

	"github.com/barograph-db/barograph/storage/series"
)

// goodRun is the number of samples per page and run above which sorting gains nothing.
const goodRun = 4

// byPage fills order with the places of refs such that those of one page follow each other and
// places of equal references stay in order. It leaves them as they are where they come in runs
// already, or where there are hardly more samples than pages, so that sorting makes none.
// scattered says that there are no runs in the result.
//
// Pages are sorted by radix, from the lowest byte of the page number up, in passes that keep the
// order of the ones before.
func byPage(order, spare []uint32, refs []series.Ref, pages int) (sorted, other []uint32, scattered bool) {
	order = slices.Grow(order[:0], len(refs))[:len(refs)]
	runs, last := 0, ^uint32(0)
	for i, ref := range refs {
		order[i] = uint32(i)
		if page := ref.Index() / pageSeries; page != last {
			runs, last = runs+1, page
		}
	}
	if runs*goodRun <= len(refs) {
		return order, spare, false
	}
	if len(refs) < pages {
		return order, spare, true
	}
	spare = slices.Grow(spare[:0], len(refs))[:len(refs)]
	for shift := 0; (pages-1)>>shift > 0; shift += 8 {
		var at [256]uint32
		for _, ref := range refs {
			at[uint8(ref.Index()/pageSeries>>shift)]++
		}
		sum := uint32(0)
		for digit, n := range at {
			at[digit] = sum
			sum += n
		}
		for _, i := range order {
			digit := uint8(refs[i].Index() / pageSeries >> shift)
			spare[at[digit]] = i
			at[digit]++
		}
		order, spare = spare, order
	}
	return order, spare, len(refs) < goodRun*pages
}
