package chunk

import "encoding/binary"

// unpackNarrow is unpackBits for a whole block of at most eight bits, of which most columns are made. The
// compiler makes far less of shifts by a variable, so each width has its own. It returns false where
// that is not what is asked for, or if b ends before a word after the block.
func unpackNarrow(xs []int64, b []byte, width uint, base int64) bool {
	if len(xs) != blockLen || uint(len(b)) < width*blockLen/8+8 || width == 0 || width > 8 {
		return false
	}
	x := (*[blockLen]int64)(xs)
	switch width { // No table of functions: what is given to one of those has to be on the heap.
	case 1:
		unpack1(x, b, base)
	case 2:
		unpack2(x, b, base)
	case 3:
		unpack3(x, b, base)
	case 4:
		unpack4(x, b, base)
	case 5:
		unpack5(x, b, base)
	case 6:
		unpack6(x, b, base)
	case 7:
		unpack7(x, b, base)
	case 8:
		unpack8(x, b, base)
	}
	return true
}

func unpack1(xs *[blockLen]int64, b []byte, base int64) {
	for i := 0; i < blockLen; i += 8 {
		w, x := binary.LittleEndian.Uint64(b), (*[8]int64)(xs[i:])
		x[0] = base + int64(w&1)
		x[1] = base + int64(w>>1&1)
		x[2] = base + int64(w>>2&1)
		x[3] = base + int64(w>>3&1)
		x[4] = base + int64(w>>4&1)
		x[5] = base + int64(w>>5&1)
		x[6] = base + int64(w>>6&1)
		x[7] = base + int64(w>>7&1)
		b = b[1:]
	}
}

func unpack2(xs *[blockLen]int64, b []byte, base int64) {
	for i := 0; i < blockLen; i += 8 {
		w, x := binary.LittleEndian.Uint64(b), (*[8]int64)(xs[i:])
		x[0] = base + int64(w&3)
		x[1] = base + int64(w>>2&3)
		x[2] = base + int64(w>>4&3)
		x[3] = base + int64(w>>6&3)
		x[4] = base + int64(w>>8&3)
		x[5] = base + int64(w>>10&3)
		x[6] = base + int64(w>>12&3)
		x[7] = base + int64(w>>14&3)
		b = b[2:]
	}
}

func unpack3(xs *[blockLen]int64, b []byte, base int64) {
	for i := 0; i < blockLen; i += 8 {
		w, x := binary.LittleEndian.Uint64(b), (*[8]int64)(xs[i:])
		x[0] = base + int64(w&7)
		x[1] = base + int64(w>>3&7)
		x[2] = base + int64(w>>6&7)
		x[3] = base + int64(w>>9&7)
		x[4] = base + int64(w>>12&7)
		x[5] = base + int64(w>>15&7)
		x[6] = base + int64(w>>18&7)
		x[7] = base + int64(w>>21&7)
		b = b[3:]
	}
}

func unpack4(xs *[blockLen]int64, b []byte, base int64) {
	for i := 0; i < blockLen; i += 8 {
		w, x := binary.LittleEndian.Uint64(b), (*[8]int64)(xs[i:])
		x[0] = base + int64(w&15)
		x[1] = base + int64(w>>4&15)
		x[2] = base + int64(w>>8&15)
		x[3] = base + int64(w>>12&15)
		x[4] = base + int64(w>>16&15)
		x[5] = base + int64(w>>20&15)
		x[6] = base + int64(w>>24&15)
		x[7] = base + int64(w>>28&15)
		b = b[4:]
	}
}

func unpack5(xs *[blockLen]int64, b []byte, base int64) {
	for i := 0; i < blockLen; i += 8 {
		w, x := binary.LittleEndian.Uint64(b), (*[8]int64)(xs[i:])
		x[0] = base + int64(w&31)
		x[1] = base + int64(w>>5&31)
		x[2] = base + int64(w>>10&31)
		x[3] = base + int64(w>>15&31)
		x[4] = base + int64(w>>20&31)
		x[5] = base + int64(w>>25&31)
		x[6] = base + int64(w>>30&31)
		x[7] = base + int64(w>>35&31)
		b = b[5:]
	}
}

func unpack6(xs *[blockLen]int64, b []byte, base int64) {
	for i := 0; i < blockLen; i += 8 {
		w, x := binary.LittleEndian.Uint64(b), (*[8]int64)(xs[i:])
		x[0] = base + int64(w&63)
		x[1] = base + int64(w>>6&63)
		x[2] = base + int64(w>>12&63)
		x[3] = base + int64(w>>18&63)
		x[4] = base + int64(w>>24&63)
		x[5] = base + int64(w>>30&63)
		x[6] = base + int64(w>>36&63)
		x[7] = base + int64(w>>42&63)
		b = b[6:]
	}
}

func unpack7(xs *[blockLen]int64, b []byte, base int64) {
	for i := 0; i < blockLen; i += 8 {
		w, x := binary.LittleEndian.Uint64(b), (*[8]int64)(xs[i:])
		x[0] = base + int64(w&127)
		x[1] = base + int64(w>>7&127)
		x[2] = base + int64(w>>14&127)
		x[3] = base + int64(w>>21&127)
		x[4] = base + int64(w>>28&127)
		x[5] = base + int64(w>>35&127)
		x[6] = base + int64(w>>42&127)
		x[7] = base + int64(w>>49&127)
		b = b[7:]
	}
}

func unpack8(xs *[blockLen]int64, b []byte, base int64) {
	for i := 0; i < blockLen; i += 8 {
		w, x := binary.LittleEndian.Uint64(b), (*[8]int64)(xs[i:])
		x[0] = base + int64(w&255)
		x[1] = base + int64(w>>8&255)
		x[2] = base + int64(w>>16&255)
		x[3] = base + int64(w>>24&255)
		x[4] = base + int64(w>>32&255)
		x[5] = base + int64(w>>40&255)
		x[6] = base + int64(w>>48&255)
		x[7] = base + int64(w>>56)
		b = b[8:]
	}
}
