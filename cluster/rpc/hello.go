package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/barograph-db/barograph/cluster/placement"
)

// Versions are those of the protocol that a node speaks: from the lowest to the highest.
type Versions struct{ Lowest, Highest uint8 }

// Spoken are the versions that this program speaks.
var Spoken = Versions{1, 1}

// Common is the newest that both speak, 0 if there is none.
func (v Versions) Common(o Versions) uint8 {
	common := min(v.Highest, o.Highest)
	if common < v.Lowest || common < o.Lowest {
		return 0
	}
	return common
}

func (v Versions) String() string {
	if v.Lowest == v.Highest {
		return fmt.Sprint("version ", v.Lowest)
	}
	return fmt.Sprintf("versions %d to %d", v.Lowest, v.Highest)
}

const (
	magic = "barorpc\n"
	// maxHello bounds the body of a hello or an answer, in bytes.
	maxHello = 2048
	// maxName bounds each text of an identity, in bytes.
	maxName = 255
	// purposeRaw is a connection that is handed over; smaller ones are classes.
	purposeRaw = 255
)

// Identity is who a node says it is.
type Identity struct {
	Cluster, Name, Region, Software string
	Node                            placement.NodeID
}

func (id Identity) String() string { return fmt.Sprintf("%s (%s)", id.Name, id.Node) }

// validate says what can't be sent.
func (id Identity) validate() error {
	if id.Node == (placement.NodeID{}) {
		return errors.New("no node ID")
	}
	for _, text := range id.texts() {
		if len(*text) > maxName {
			return fmt.Errorf("%d bytes of name, more than %d", len(*text), maxName)
		}
	}
	return nil
}

func (id *Identity) texts() [4]*string {
	return [...]*string{&id.Cluster, &id.Name, &id.Region, &id.Software}
}

// hello is what the node that dials says first.
type hello struct {
	speaks  Versions
	purpose byte
	to      placement.NodeID
	from    Identity
	kind    string // of a raw connection
	window  uint32
}

// answer is what it is told: welcome with refusal 0, or why not.
type answer struct {
	refusal refusal
	words   string

	version byte
	from    Identity
	window  uint32
}

// appendHello appends a whole hello to dst.
func appendHello(dst []byte, h *hello) []byte {
	return appendPacket(dst, func(b []byte) []byte {
		b = append(b, h.speaks.Lowest, h.speaks.Highest, h.purpose)
		b = append(b, h.to[:]...)
		b = appendIdentity(b, &h.from)
		b = appendText(b, h.kind)
		return binary.LittleEndian.AppendUint32(b, h.window)
	})
}

// decodeHello reads the body of a hello. The first two bytes are the same in all versions; if none
// is common to both nodes, the rest is not read. Bytes at the end are those of later versions.
func decodeHello(body []byte, own Versions) (h hello, err error) {
	d := decoder{rest: body}
	h.speaks = Versions{d.byte(), d.byte()}
	if d.err == nil && own.Common(h.speaks) == 0 {
		return h, nil
	}
	h.purpose = d.byte()
	copy(h.to[:], d.bytes(16))
	d.identity(&h.from)
	h.kind = d.text()
	h.window = d.window()
	if d.err != nil {
		return hello{}, fmt.Errorf("decode hello: %w", d.err)
	}
	return h, nil
}

// appendAnswer appends a whole answer to dst.
func appendAnswer(dst []byte, a *answer) []byte {
	return appendPacket(dst, func(b []byte) []byte {
		b = append(b, byte(a.refusal))
		if a.refusal != welcome {
			return append(b, shorten(a.words)...)
		}
		b = append(b, a.version)
		b = appendIdentity(b, &a.from)
		return binary.LittleEndian.AppendUint32(b, a.window)
	})
}

// decodeAnswer reads the body of an answer.
func decodeAnswer(body []byte, own Versions) (a answer, err error) {
	d := decoder{rest: body}
	a.refusal = refusal(d.byte())
	if d.err == nil && a.refusal != welcome {
		a.words = shorten(string(d.rest))
		return a, nil
	}
	a.version = d.byte()
	if d.err == nil && (a.version < own.Lowest || a.version > own.Highest) {
		d.err = fmt.Errorf("version %d, and this node speaks %s", a.version, own)
	}
	d.identity(&a.from)
	a.window = d.window()
	if d.err != nil {
		return answer{}, fmt.Errorf("decode answer: %w", d.err)
	}
	return a, nil
}

func appendPacket(dst []byte, body func([]byte) []byte) []byte {
	dst = append(dst, magic...)
	begin := len(dst) + 2
	dst = body(append(dst, 0, 0))
	binary.LittleEndian.PutUint16(dst[begin-2:], uint16(len(dst)-begin))
	return dst
}

// readPacket reads the body of a hello or an answer, and not a byte more.
func readPacket(r io.Reader) ([]byte, error) {
	var head [len(magic) + 2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	if string(head[:len(magic)]) != magic {
		return nil, errors.New("it does not speak this protocol")
	}
	n := binary.LittleEndian.Uint16(head[len(magic):])
	if n > maxHello {
		return nil, fmt.Errorf("a handshake of %d bytes, more than %d", n, maxHello)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return body, nil
}

func appendIdentity(dst []byte, id *Identity) []byte {
	dst = append(dst, id.Node[:]...)
	for _, text := range id.texts() {
		dst = appendText(dst, *text)
	}
	return dst
}

// appendText writes at most 255 bytes after their number.
func appendText(dst []byte, text string) []byte {
	text = text[:min(len(text), maxName)]
	return append(append(dst, byte(len(text))), text...)
}

// decoder reads until the first error.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) bytes(n int) []byte {
	if d.err == nil && n > len(d.rest) {
		d.err = errors.New("cut short")
	}
	if d.err != nil {
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) text() string { return string(d.bytes(int(d.byte()))) }

func (d *decoder) identity(id *Identity) {
	copy(id.Node[:], d.bytes(16))
	for _, text := range id.texts() {
		*text = d.text()
	}
}

func (d *decoder) window() uint32 {
	b := d.bytes(4)
	if b == nil {
		return 0
	}
	n := binary.LittleEndian.Uint32(b)
	if n < minWindow || n > maxWindow {
		d.err = fmt.Errorf("a window of %d bytes", n)
	}
	return n
}
