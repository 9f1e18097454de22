package merge

import (
	"context"
	"runtime"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/barograph-db/barograph/storage/chunk"
)

// checkEvery is how many samples pass between two looks at the context: some ten microseconds.
const checkEvery = 1024

// iterator is a chunk iterator kept within times and within a context. The value methods are those
// of the iterator inside.
type iterator struct {
	chunk.Iterator
	ctx        context.Context
	mint, maxt int64
	seen       int // of all series that it has iterated over
	started    bool
	done       bool
	err        error
}

// reset makes it an iterator over other chunks, with the memory it has.
func (it *iterator) reset(s *sampleSeries) {
	it.Iterator.Reset(s.chunks)
	it.ctx, it.mint, it.maxt = s.ctx, s.mint, s.maxt
	it.started, it.done, it.err = false, false, nil
}

// Next moves to the next sample that lies within the times.
func (it *iterator) Next() chunkenc.ValueType {
	if !it.started {
		return it.Seek(it.mint)
	}
	if it.done || it.stopped() {
		return chunkenc.ValNone
	}
	return it.clip(it.Iterator.Next())
}

// Seek moves to the first sample at or after t, and not at all when it is there already.
func (it *iterator) Seek(t int64) chunkenc.ValueType {
	if it.done || it.stopped() {
		return chunkenc.ValNone
	}
	it.started = true
	return it.clip(it.Iterator.Seek(max(t, it.mint)))
}

func (it *iterator) clip(v chunkenc.ValueType) chunkenc.ValueType {
	if v == chunkenc.ValNone || it.AtT() > it.maxt {
		it.done = true
		return chunkenc.ValNone
	}
	return v
}

// stopped looks at the context now and then, and lets others run.
func (it *iterator) stopped() bool {
	it.seen++
	if it.seen%checkEvery != 0 {
		return false
	}
	runtime.Gosched()
	it.err = it.ctx.Err()
	it.done = it.err != nil
	return it.done
}

// Err returns what ended the iteration early.
func (it *iterator) Err() error {
	if it.err != nil {
		return it.err
	}
	return it.Iterator.Err()
}
