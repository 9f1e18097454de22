package frame

import "github.com/barograph-db/barograph/storage/series"

// Order returns the order in which the float samples of a frame come back when it is decoded: place
// i of that frame has sample Order(refs)[i] of the one that was encoded.
func Order(refs []series.Ref) []uint32 {
	var c columns
	c.sort(refs)
	return c.order
}
