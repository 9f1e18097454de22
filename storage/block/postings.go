package block

import (
	"bytes"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"
)

// appendPostings serialises a bitmap of ordinals in roaring's portable format.
func appendPostings(dst *bytes.Buffer, b *roaring.Bitmap) error {
	if _, err := b.WriteTo(dst); err != nil {
		return fmt.Errorf("encode postings: %w", err)
	}
	return nil
}

// decodePostings returns the bitmap in b, which must hold ordinals below count only. It keeps
// views of b, which the caller therefore gives away.
func decodePostings(b []byte, count uint32) (*roaring.Bitmap, error) {
	bm := roaring.New()
	n, err := bm.FromBuffer(b)
	if err != nil {
		return nil, decodeErrorf("postings: %v", err)
	}
	if n != int64(len(b)) {
		return nil, decodeErrorf("%d bytes after postings", int64(len(b))-n)
	}
	if err := bm.Validate(); err != nil {
		return nil, decodeErrorf("postings: %v", err)
	}
	if bm.IsEmpty() || bm.Maximum() >= count {
		return nil, decodeErrorf("postings are not of %d series", count)
	}
	return bm, nil
}
