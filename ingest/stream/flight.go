package stream

import "sync"

// A flight is the frames of one stream that are being appended, in the order in which they came.
// They have numbers of their own, without gaps.
type flight struct {
	limit int

	mu struct {
		sync.Mutex
		over     bool   // Nobody waits any more.
		low      uint64 // the lowest number not finished; the next one where all are
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
	f.moved.L = &f.mu
	return f
}

// minFlown is the share of the limit that each frame counts for at least, and so the number of
// frames at a time.
const minFlown = 64

// begin waits until there is room and gives a frame its number. One frame always has room.
func (f *flight) begin(seq uint64, bytes int) (number uint64, waited bool) {
	bytes += f.limit / minFlown
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.mu.frames) > 0 && f.mu.bytes+bytes > f.limit && !f.mu.over {
		waited = true
		f.moved.Wait()
	}
	number = f.mu.low + uint64(len(f.mu.frames))
	f.mu.frames = append(f.mu.frames, flown{seq: seq, bytes: bytes})
	f.mu.bytes += bytes
	return number, waited
}

// finish ends a frame. It returns the highest seq up to which every frame is answered.
func (f *flight) finish(number uint64) (answered uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.frames[number-f.mu.low].finished = true
	n := 0
	for n < len(f.mu.frames) && f.mu.frames[n].finished {
		f.mu.bytes -= f.mu.frames[n].bytes
		f.mu.answered = max(f.mu.answered, f.mu.frames[n].seq)
		n++
	}
	f.mu.low += uint64(n)
	f.mu.frames = append(f.mu.frames[:0], f.mu.frames[n:]...)
	f.moved.Broadcast()
	return f.mu.answered
}

// land waits until all are finished, or nobody waits any more.
func (f *flight) land() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.mu.frames) > 0 && !f.mu.over {
		f.moved.Wait()
	}
}

// abandon ends all waiting.
func (f *flight) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.over = true
	f.moved.Broadcast()
}
