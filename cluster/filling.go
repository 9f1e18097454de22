package cluster

import (
	"encoding/binary"
	"errors"
)

// Filling is how far a node is with the shards that it is copying. The zero value is none.
type Filling struct {
	Shards int `json:"shards"`
	// Days of these shards that are copied, and that are left.
	DaysDone int `json:"daysDone"`
	DaysLeft int `json:"daysLeft"`
	// Bytes and Samples that were copied.
	Bytes   int64 `json:"bytes"`
	Samples int64 `json:"samples"`
}

const (
	fillingFact    = "filling"
	fillingVersion = 1
	maxDays        = 1 << 20
)

// PublishFilling tells the others how far this node is.
func (c *Cluster) PublishFilling(f Filling) error {
	var value []byte
	if f.Shards > 0 {
		value = f.append(nil)
	}
	return c.pool.Publish(fillingFact, value)
}

func (f *Filling) append(b []byte) []byte {
	b = append(b, fillingVersion)
	for _, n := range []int64{int64(f.Shards), int64(f.DaysDone), int64(f.DaysLeft), f.Bytes, f.Samples} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

var errFilling = errors.New("decode how far a node is: not what a node tells")

func decodeFilling(b []byte) (f Filling, err error) {
	if len(b) == 0 || b[0] != fillingVersion {
		return f, errFilling
	}
	b = b[1:]
	take := func(most uint64) int64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > most {
			err = errFilling
			return 0
		}
		b = b[n:]
		return int64(v)
	}
	f.Shards, f.DaysDone, f.DaysLeft = int(take(1<<16)), int(take(maxDays)), int(take(maxDays))
	f.Bytes, f.Samples = take(1<<62), take(1<<62)
	if err != nil || len(b) > 0 {
		return Filling{}, errFilling
	}
	return f, nil
}
