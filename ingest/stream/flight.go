package stream

import "sync"

// A flight is the frames of one stream that are being appended, in the order in which they came.
// They have numbers of their own, without gaps, that may wrap.
type flight struct {
	limit int

	mu struct {
		sync.Mutex
		low      uint32 // the lowest number not finished; the next one where all are
		frames   []flown
		bytes    int
		answered uint64 // every frame up to this seq is answered
	}
	moved sync.Cond
}

type flown struct {
	seq      uint64
	bytes    int
	finished bool
}

func newFlight(limit int) *flight {
	f := &flight{limit: limit}
	f.mu.low = 1 << 31 // Far from 0, which entries that were never used have.
	f.moved.L = &f.mu
	return f
}

// minFlown is the share of the limit that each frame counts for at least, and so the number of
// frames at a time.
const minFlown = 64

// begin waits until there is room and gives a frame its number. One frame always has room.
func (f *flight) begin(seq uint64, bytes int) (number uint32, waited bool) {
	bytes += f.limit / minFlown
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.mu.frames) > 0 && f.mu.bytes+bytes > f.limit {
		waited = true
		f.moved.Wait()
	}
	number = f.mu.low + uint32(len(f.mu.frames))
	f.mu.frames = append(f.mu.frames, flown{seq: seq, bytes: bytes})
	f.mu.bytes += bytes
	return number, waited
}

// lowest is the number below which all are finished.
func (f *flight) lowest() uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.low
}

// wait returns when the frame is finished, and all before it.
func (f *flight) wait(number uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for number-f.mu.low < uint32(len(f.mu.frames)) {
		f.moved.Wait()
	}
}

// finish ends a frame.
func (f *flight) finish(number uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.frames[number-f.mu.low].finished = true
	n := 0
	for n < len(f.mu.frames) && f.mu.frames[n].finished {
		f.mu.bytes -= f.mu.frames[n].bytes
		f.mu.answered = max(f.mu.answered, f.mu.frames[n].seq)
		n++
	}
	f.mu.low += uint32(n)
	f.mu.frames = append(f.mu.frames[:0], f.mu.frames[n:]...)
	f.moved.Broadcast()
}

// land waits until all are finished.
func (f *flight) land() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.mu.frames) > 0 {
		f.moved.Wait()
	}
}

// answered is the highest seq up to which every frame is answered.
func (f *flight) answered() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.answered
}
