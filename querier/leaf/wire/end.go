package wire

import (
	"encoding/binary"
	"time"

	"github.com/barograph-db/barograph/querier/leaf"
)

func appendEnd(dst []byte, items int, r leaf.Reading) []byte {
	dst = binary.AppendUvarint(dst, uint64(items))
	for _, n := range []int64{r.Series, r.Samples, r.Bytes, r.Waited.Microseconds(), r.Worked.Microseconds()} {
		dst = binary.AppendUvarint(dst, uint64(max(n, 0)))
	}
	return dst
}

// decodeEnd compares what an end counts with what came, and returns what the node says it did. A node
// of another version may say less of it, or more, which is passed over.
func decodeEnd(body []byte, items int) (r leaf.Reading, err error) {
	d := decoder{rest: body}
	if n := d.uvarint(); d.err == nil && n != uint64(items) {
		return r, malformed("%d items, the end counts %d", items, n)
	}
	var figures [5]int64
	for i := range figures {
		if len(d.rest) == 0 {
			return r, d.err
		}
		figures[i] = d.number()
	}
	r = leaf.Reading{
		Series: figures[0], Samples: figures[1], Bytes: figures[2], Whole: true,
		Waited: time.Duration(figures[3]) * time.Microsecond, Worked: time.Duration(figures[4]) * time.Microsecond,
	}
	return r, d.err
}
