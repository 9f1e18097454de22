package api

import (
	"math"
	"slices"
	"strconv"
)

// appendTime appends t (milliseconds) as seconds, with three decimals or none.
func appendTime(dst []byte, t int64) []byte {
	u := uint64(t)
	if t < 0 {
		dst = append(dst, '-')
		u = -u
	}
	dst = strconv.AppendUint(dst, u/1000, 10)
	if ms := u % 1000; ms != 0 {
		dst = append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	return dst
}

const (
	// maxPoint is more than a point of a float takes.
	maxPoint = 80
	// timeBits give room for the times of a graph as wide as a screen.
	timeBits = 10
)

func appendPoint(dst []byte, t int64, f float64) []byte {
	dst = appendTime(append(dst, '['), t)
	return append(appendFloat(append(dst, ','), f), ']')
}

// pointTimes remembers how points begin: those of the next series have the same times.
type pointTimes [1 << timeBits]struct {
	t    int64
	n    uint8 // 0: nothing is here
	text [len(`[-9223372036854775.808,`)]byte
}

// appendPoint appends what the function of that name does.
func (p *pointTimes) appendPoint(dst []byte, t int64, f float64) []byte {
	e := &p[uint64(t)*0x9e3779b97f4a7c15>>(64-timeBits)]
	if e.t != t || e.n == 0 {
		e.t, e.n = t, uint8(len(append(appendTime(append(e.text[:0], '['), t), ',')))
	}
	dst = slices.Grow(dst, maxPoint)
	// All of the text is copied, since that needs no loop.
	n := len(dst)
	copy(dst[n:n+len(e.text)], e.text[:])
	return append(appendFloat(dst[:n+int(e.n)], f), ']')
}

// appendFloat appends f as a JSON string, since JSON numbers have neither NaN nor infinities. The
// exponent form begins where it does in JavaScript.
func appendFloat(dst []byte, f float64) []byte {
	dst = append(dst, '"')
	if short, ok := appendDecimal(dst, f); ok {
		return append(short, '"')
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return append(strconv.AppendFloat(dst, f, format, -1, 64), '"')
}

// appendDecimal appends f if it is a whole number, or has at most six decimals, of at most 15
// digits: most counters and gauges are, and finding the shortest form of any float takes several
// times as long.
//
// Of decimals with 15 digits no two are the same float. So when the nearest float to n/1e6, which
// is what the division gives, is f, then n/1e6 is the shortest decimal for f.
func appendDecimal(dst []byte, f float64) ([]byte, bool) {
	const scale = 1_000_000
	abs := math.Abs(f)
	if f == 0 && math.Signbit(f) || !(abs < 1e15) {
		return dst, false
	}
	n := uint64(abs)
	micros := uint64(0)
	if float64(n) != abs {
		if abs >= 1e15/scale {
			return dst, false
		}
		all := uint64(math.Round(abs * scale))
		if float64(all)/scale != abs {
			return dst, false
		}
		n, micros = all/scale, all%scale
	}
	if f < 0 {
		dst = append(dst, '-')
	}
	dst = strconv.AppendUint(dst, n, 10)
	if micros == 0 {
		return dst, true
	}
	dst = append(dst, '.')
	for unit := uint64(scale / 10); micros > 0; unit /= 10 {
		dst = append(dst, byte('0'+micros/unit))
		micros %= unit
	}
	return dst, true
}
