package stream

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/barograph-db/barograph/storage/frame"
)

// Conn is a stream of messages to the peer, either end of it. One goroutine sends and one receives.
// It fails once the context it was opened or served under has ended.
type Conn interface {
	// Send does not keep msg.
	Send(msg []byte) error
	// Recv appends a message to dst[:0]. io.EOF says that the other end has closed its side in order.
	Recv(dst []byte) ([]byte, error)
	// CloseSend closes this side in order.
	CloseSend() error
}

const version = 1

const (
	kindHello   = 1
	kindWelcome = 2
	kindFrames  = 3
	kindAcks    = 4
)

// MaxMessage is the most bytes that a message of either direction has.
const MaxMessage = 4 << 20

// Both ends keep to these bounds too.
const (
	// maxFloats are the most float samples in a frame. A sender makes them a good deal shorter.
	maxFloats = 64 << 10
	// maxRest are the most bytes of a frame beside its float samples, decompressed.
	maxRest = 8 << 20
	// maxText bounds what an ack says in words.
	maxText = 512

	crcSize = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal ends a message.
func seal(msg []byte) []byte {
	return binary.LittleEndian.AppendUint32(msg, crc32.Checksum(msg, castagnoli))
}

// open checks a message and returns its body.
func open(msg []byte, kind byte) ([]byte, error) {
	if len(msg) <= crcSize || len(msg) > MaxMessage {
		return nil, damaged("%d bytes", len(msg))
	}
	body, sum := msg[:len(msg)-crcSize], binary.LittleEndian.Uint32(msg[len(msg)-crcSize:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, damaged("checksum")
	}
	if body[0] != kind {
		return nil, damaged("kind %d where %d is due", body[0], kind)
	}
	return body[1:], nil
}

func appendHello(dst []byte, sender uint64) []byte {
	return seal(binary.LittleEndian.AppendUint64(append(dst, kindHello, version), sender))
}

func readHello(msg []byte) (sender uint64, err error) {
	b, err := open(msg, kindHello)
	if err != nil {
		return 0, err
	}
	if b, err = cutVersion(b); err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, damaged("hello of %d bytes", len(b))
	}
	return binary.LittleEndian.Uint64(b), nil
}

func appendWelcome(dst []byte, refs uint32) []byte {
	return seal(binary.AppendUvarint(append(dst, kindWelcome, version), uint64(refs)))
}

func readWelcome(msg []byte) (refs uint32, err error) {
	b, err := open(msg, kindWelcome)
	if err != nil {
		return 0, err
	}
	if b, err = cutVersion(b); err != nil {
		return 0, err
	}
	c := cutter{b: b}
	n := c.uvarint()
	if c.failed || len(c.b) > 0 || n > maxRefs {
		return 0, damaged("welcome")
	}
	return uint32(n), nil
}

func cutVersion(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, damaged("no version")
	}
	if b[0] != version {
		return nil, damaged("version %d, and this node speaks %d", b[0], version)
	}
	return b[1:], nil
}

// A numbered frame, encoded.
type numbered struct {
	seq  uint64
	body []byte
}

// tidings are what each message of frames says besides.
type tidings struct {
	missed uint64 // less than 1<<63
	behind bool
	epoch  uint64
}

func appendFrames(dst []byte, t tidings) []byte {
	n := t.missed << 1
	if t.behind {
		n |= 1
	}
	return binary.AppendUvarint(binary.AppendUvarint(append(dst, kindFrames), n), t.epoch)
}

func appendFrame(dst []byte, seq uint64, body []byte) []byte {
	dst = binary.AppendUvarint(dst, seq)
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	return append(dst, body...)
}

// readFrames appends the frames of a message to dst; they are views of it.
func readFrames(dst []numbered, msg []byte) (frames []numbered, t tidings, err error) {
	b, err := open(msg, kindFrames)
	if err != nil {
		return dst, t, err
	}
	c := cutter{b: b}
	n := c.uvarint()
	t = tidings{missed: n >> 1, behind: n&1 == 1, epoch: c.uvarint()}
	for len(c.b) > 0 {
		dst = append(dst, numbered{seq: c.uvarint(), body: c.bytes()})
	}
	if c.failed {
		return dst, t, damaged("frames are cut short")
	}
	return dst, t, nil
}

// An ack answers a frame.
type ack struct {
	seq      uint64
	rejected []frame.Rejected // in order
	code     Code             // Not 0: nothing was taken.
	text     string
}

const (
	ackTaken    = 0
	ackRejected = 1
	ackRefused  = 2
)

func appendAck(dst []byte, a *ack) []byte {
	dst = binary.AppendUvarint(dst, a.seq)
	switch {
	case a.code != 0:
		text := a.text[:min(len(a.text), maxText)]
		dst = append(dst, ackRefused, byte(a.code))
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		return append(dst, text...)
	case len(a.rejected) > 0:
		dst = append(dst, ackRejected)
		dst = binary.AppendUvarint(dst, uint64(len(a.rejected)))
		last := 0
		for _, r := range a.rejected {
			dst = binary.AppendUvarint(dst, uint64(r.Index-last))
			dst = append(dst, byte(r.Reason))
			last = r.Index
		}
		return dst
	}
	return append(dst, ackTaken)
}

// readAcks appends the acks of a message to dst.
func readAcks(dst []ack, msg []byte) ([]ack, error) {
	b, err := open(msg, kindAcks)
	if err != nil {
		return dst, err
	}
	c := cutter{b: b}
	for len(c.b) > 0 {
		a := ack{seq: c.uvarint()}
		switch c.byte() {
		case ackTaken:
		case ackRejected:
			a.rejected = c.rejected()
		case ackRefused:
			a.code = Code(c.byte())
			a.text = string(c.bytes())
			if a.code == 0 || a.code >= numCodes || len(a.text) > maxText {
				c.fail()
			}
		default:
			c.fail()
		}
		dst = append(dst, a)
	}
	if c.failed {
		return dst, damaged("acks are cut short")
	}
	return dst, nil
}

// cutter cuts fields off the front of b. Once it has failed, all that follow are zero.
type cutter struct {
	b      []byte
	failed bool
}

func (c *cutter) fail() { c.b, c.failed = nil, true }

func (c *cutter) uvarint() uint64 {
	x, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return x
}

func (c *cutter) byte() byte {
	if len(c.b) == 0 {
		c.fail()
		return 0
	}
	x := c.b[0]
	c.b = c.b[1:]
	return x
}

// bytes is a view.
func (c *cutter) bytes() []byte {
	n := c.uvarint()
	if n > uint64(len(c.b)) {
		c.fail()
		return nil
	}
	x := c.b[:n:n]
	c.b = c.b[n:]
	return x
}

// rejected reads at least one; their indexes rise.
func (c *cutter) rejected() []frame.Rejected {
	n := c.uvarint()
	if n == 0 || n > uint64(len(c.b)/2) {
		c.fail()
		return nil
	}
	list := make([]frame.Rejected, n)
	last := uint64(0)
	for i := range list {
		gap := c.uvarint()
		if gap > MaxMessage || i > 0 && gap == 0 {
			c.fail()
			return nil
		}
		last += gap
		list[i] = frame.Rejected{Index: int(last), Reason: frame.Reason(c.byte())}
		if list[i].Reason == 0 {
			c.fail()
		}
	}
	return list
}
