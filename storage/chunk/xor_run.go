package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// AppendRun adds samples as Append would, as long as their timestamps ascend and are before end, and
// returns how many it added. The caller sees to it that they fit into the chunk.
func (a *XORAppender) AppendRun(ts []int64, vs []float64, end int64) (n int) {
	for n < len(ts) && ts[n] < end && (a.n == 0 || ts[n] > a.t) {
		if quick := a.appendQuick(ts[n:], vs[n:], end); quick > 0 {
			n += quick
			continue
		}
		a.Append(ts[n], vs[n])
		n++
	}
	return n
}

// appendQuick is AppendRun with the appender's state in registers: it stops at what is not common,
// and before the chunk's third sample everything is.
func (a *XORAppender) appendQuick(ts []int64, vs []float64, end int64) (n int) {
	if a.n < 2 {
		return 0
	}
	vs = vs[:len(ts)]
	buf, word, used := a.buf, a.word, uint(a.used)
	t, was, delta := a.t, math.Float64bits(a.v), a.delta
	leading, trailing := uint(a.leading), uint(a.trailing)
	for ; n < len(ts) && ts[n] > t && ts[n] < end; n++ {
		step, now := uint64(ts[n]-t), math.Float64bits(vs[n])
		xor := now ^ was
		// head and tail are the lowest bits of a word, to be written one behind the other.
		head, headBits, tail, tailBits := uint64(0), uint(1), uint64(0), uint(0)
		if dod := int64(step - delta); dod != 0 {
			if !inBits(dod, 14) {
				break
			}
			head, headBits = 0b10<<14|uint64(dod)&(1<<14-1), 16
		} else if xor == 0 && used < 62 {
			used += 2
			t = ts[n]
			continue
		}
		if xor == 0 {
			head, headBits = head<<1, headBits+1
		} else {
			lead, trail := min(uint(bits.LeadingZeros64(xor)), 31), uint(bits.TrailingZeros64(xor))
			if leading != shut && lead >= leading && trail >= trailing {
				head, headBits = head<<2|0b10, headBits+2
			} else {
				leading, trailing = lead, trail
				head = (head<<2|0b11)<<11 | uint64(lead)<<6 | uint64((64-lead-trail)&63)
				headBits += 13
			}
			tail, tailBits = xor>>(trailing&63), 64-leading-trailing
		}
		t, was, delta = ts[n], now, step
		if headBits+tailBits <= 64 {
			head, headBits, tailBits = head<<(tailBits&63)|tail, headBits+tailBits, 0
		}
		for {
			room := 64 - used
			if headBits < room {
				word |= head << ((room - headBits) & 63)
				used += headBits
			} else {
				over := headBits - room
				if len(buf)+8 > cap(buf) {
					a.buf = buf
					a.grow()
					buf = a.buf
				}
				buf = binary.BigEndian.AppendUint64(buf, word|head>>(over&63))
				word, used = head<<1<<((63-over)&63), over
			}
			if tailBits == 0 {
				break
			}
			head, headBits, tailBits = tail, tailBits, 0
		}
	}
	a.buf, a.word, a.used = buf, word, uint8(used)
	a.t, a.v, a.delta = t, math.Float64frombits(was), delta
	a.leading, a.trailing = uint8(leading), uint8(trailing)
	a.n += uint16(n)
	return n
}

// Warm reads of the memory that the next samples go to, so that the processor fetches what many
// appenders need at a time. The result means nothing.
func (a *XORAppender) Warm() uint32 {
	if n := len(a.buf); n > 0 {
		return uint32(a.buf[n-1])
	}
	return 0
}
