package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The kinds of frames.
const (
	kindOpen   byte = iota + 1 // a new stream: uvarint milliseconds that are left or 0, method
	kindPart                   // of a message, with more to come
	kindLast                   // the last part of a message
	kindEnd                    // of the caller's messages
	kindStatus                 // the handler has ended: code u8, text; the stream is over
	kindCancel                 // the caller has given up: code u8; the stream is over
	kindCredit                 // so much more may be sent: u32
	kindPing                   // say something
	kindPong                   // something
	kindBye                    // open no more streams
	numKinds
)

const (
	headerLen = 13
	// maxPart bounds a part of a message: how long others of the link wait for their turn.
	maxPart = 64 << 10
	// maxMethod bounds the name of a method.
	maxMethod = 128
	// minWindow holds some parts of full size, so that half of it is always enough for one.
	minWindow = 4 * maxPart
	maxWindow = 64 << 20
)

// maxLeft is the longest time that a request is told, some 34 years: sums with it don't overflow.
const maxLeft = 1 << 40 * time.Millisecond

// maxBody bounds the bodies of frames, by kind.
var maxBody = [numKinds]uint32{
	kindOpen:   binary.MaxVarintLen64 + maxMethod,
	kindPart:   maxPart,
	kindLast:   maxPart,
	kindStatus: 1 + maxText,
	kindCancel: 1,
	kindCredit: 4,
}

type header struct {
	kind   byte
	stream uint64
	length uint32
}

// appendFrame appends a frame to dst.
func appendFrame(dst []byte, kind byte, stream uint64, body []byte) []byte {
	dst = append(dst, kind)
	dst = binary.LittleEndian.AppendUint64(dst, stream)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(body)))
	return append(dst, body...)
}

// decodeHeader reads the header of a frame and refuses what can't be one.
func decodeHeader(b *[headerLen]byte) (header, error) {
	h := header{kind: b[0], stream: binary.LittleEndian.Uint64(b[1:]), length: binary.LittleEndian.Uint32(b[9:])}
	if h.kind == 0 || h.kind >= numKinds {
		return header{}, fmt.Errorf("frame of kind %d", h.kind)
	}
	if h.length > maxBody[h.kind] {
		return header{}, fmt.Errorf("frame of kind %d with %d bytes, more than %d", h.kind, h.length, maxBody[h.kind])
	}
	return h, nil
}

var errFrame = errors.New("malformed frame")

// appendOpen appends the body of an open frame. A request that has no time left has a millisecond.
func appendOpen(dst []byte, left time.Duration, bounded bool, method string) []byte {
	ms := uint64(0)
	if bounded {
		left = min(max(left, time.Millisecond), maxLeft)
		ms = uint64((left + time.Millisecond - 1) / time.Millisecond)
	}
	return append(binary.AppendUvarint(dst, ms), method...)
}

// decodeOpen reads what appendOpen writes; method is a part of b.
func decodeOpen(b []byte) (left time.Duration, bounded bool, method []byte, err error) {
	ms, n := binary.Uvarint(b)
	if n <= 0 || len(b) == n || len(b) > n+maxMethod {
		return 0, false, nil, errFrame
	}
	return time.Duration(min(ms, uint64(maxLeft/time.Millisecond))) * time.Millisecond, ms > 0, b[n:], nil
}

// appendStatus appends the body of a status or, without text, of a cancel frame.
func appendStatus(dst []byte, err *Error) []byte {
	if err == nil {
		return append(dst, byte(OK))
	}
	return append(append(dst, byte(err.Code)), err.Text...)
}

// decodeStatus reads what appendStatus writes. A code that this version does not know is Internal.
func decodeStatus(b []byte) (*Error, error) {
	if len(b) == 0 || len(b) > 1+maxText {
		return nil, errFrame
	}
	code := Code(b[0])
	if code == OK {
		return nil, nil
	}
	if code >= numCodes {
		code = Internal
	}
	return &Error{code, shorten(string(b[1:]))}, nil
}

func decodeCredit(b []byte) (int, error) {
	if len(b) != 4 {
		return 0, errFrame
	}
	n := binary.LittleEndian.Uint32(b)
	if n == 0 || n > maxWindow {
		return 0, errFrame
	}
	return int(n), nil
}
