package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/hashicorp/raft"
)

// version of all encoded forms, which docs/formats/consensus.md draws.
const version = 1

// Bounds of what is decoded.
const (
	maxEntryBytes = 64 << 20 // one entry of the log
	maxServers    = 4096
	maxText       = 1024 // an ID or address
	maxStates     = 1024
)

var errShort = errors.New("cut short")

func appendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// appendCommand appends what goes into Raft's log for a command.
func appendCommand(dst []byte, state string, command []byte) []byte {
	dst = append(dst, version)
	dst = appendText(dst, state)
	return append(dst, command...)
}

// decodeCommand returns parts of data.
func decodeCommand(data []byte) (state string, command []byte, err error) {
	d := decoder{rest: data}
	d.version()
	state = string(d.text(MaxName))
	if d.err != nil {
		return "", nil, fmt.Errorf("decode command: %w", d.err)
	}
	return state, d.rest, nil
}

// appendEntry appends an entry of the log without its index, which is in its key.
func appendEntry(dst []byte, l *raft.Log) []byte {
	dst = append(dst, version, byte(l.Type))
	dst = binary.AppendUvarint(dst, l.Term)
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	dst = binary.AppendVarint(dst, at)
	dst = appendText(dst, l.Data)
	return append(dst, l.Extensions...)
}

// decodeEntry reads what appendEntry writes into l, which shares nothing with data.
func decodeEntry(data []byte, index uint64, l *raft.Log) error {
	d := decoder{rest: data}
	if len(data) > maxEntryBytes {
		return fmt.Errorf("decode entry %d: %w: %d bytes", index, ErrTooLarge, len(data))
	}
	d.version()
	*l = raft.Log{Index: index, Type: raft.LogType(d.byte()), Term: d.uvarint(1<<64 - 1)}
	if d.err == nil && l.Type > raft.LogConfiguration {
		d.err = fmt.Errorf("type %d", l.Type)
	}
	if at := d.varint(); at != 0 {
		l.AppendedAt = time.Unix(0, at).UTC()
	}
	l.Data = slices.Clone(d.text(maxEntryBytes))
	if d.err != nil {
		return fmt.Errorf("decode entry %d: %w", index, d.err)
	}
	if len(d.rest) > 0 {
		l.Extensions = slices.Clone(d.rest)
	}
	return nil
}

// appendMeta appends what is known of a snapshot but for its number, which is in its key.
func appendMeta(dst []byte, m *raft.SnapshotMeta) []byte {
	dst = append(dst, version)
	for _, v := range []uint64{m.Index, m.Term, m.ConfigurationIndex, uint64(m.Size), uint64(len(m.Configuration.Servers))} {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, s := range m.Configuration.Servers {
		dst = append(dst, byte(s.Suffrage))
		dst = appendText(dst, s.ID)
		dst = appendText(dst, s.Address)
	}
	return dst
}

func decodeMeta(data []byte, maxSize int) (*raft.SnapshotMeta, error) {
	d := decoder{rest: data}
	d.version()
	m := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax}
	m.Index, m.Term, m.ConfigurationIndex = d.uvarint(1<<64-1), d.uvarint(1<<64-1), d.uvarint(1<<64-1)
	m.Size = int64(d.uvarint(uint64(maxSize)))
	servers := d.uvarint(maxServers)
	for range servers {
		suffrage := raft.ServerSuffrage(d.byte())
		if d.err == nil && suffrage > raft.Nonvoter {
			d.err = fmt.Errorf("suffrage %d", suffrage)
		}
		s := raft.Server{Suffrage: suffrage, ID: raft.ServerID(d.text(maxText)), Address: raft.ServerAddress(d.text(maxText))}
		if d.err != nil {
			break
		}
		m.Configuration.Servers = append(m.Configuration.Servers, s)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("decode description of a snapshot: %w", err)
	}
	return m, nil
}

// appendStates appends the states in the order of their names, and a checksum over it.
func appendStates(dst []byte, states map[string][]byte) []byte {
	from := len(dst)
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(len(states)))
	for _, name := range slices.Sorted(maps.Keys(states)) {
		dst = appendText(dst, name)
		dst = appendText(dst, states[name])
	}
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[from:]))
}

// decodeStates returns parts of data.
func decodeStates(data []byte) (map[string][]byte, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("decode states: %w", errShort)
	}
	body, sum := data[:len(data)-8], binary.LittleEndian.Uint64(data[len(data)-8:])
	if xxhash.Sum64(body) != sum {
		return nil, errors.New("decode states: wrong checksum")
	}
	d := decoder{rest: body}
	d.version()
	n := d.uvarint(maxStates)
	states := map[string][]byte{}
	last := ""
	for range n {
		name := string(d.text(MaxName))
		if d.err == nil && name <= last {
			d.err = fmt.Errorf("state %q follows %q", name, last)
		}
		state := d.text(uint64(len(body)))
		if d.err != nil {
			break
		}
		states[name], last = state, name
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("decode states: %w", err)
	}
	return states, nil
}

// decoder reads until the first error.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) version() {
	if v := d.byte(); d.err == nil && v != version {
		d.err = fmt.Errorf("version %d, not %d", v, version)
	}
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) bytes(n uint64) []byte {
	if d.err == nil && n > uint64(len(d.rest)) {
		d.err = errShort
	}
	if d.err != nil {
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) text(most uint64) []byte { return d.bytes(d.uvarint(most)) }

func (d *decoder) uvarint(most uint64) uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.rest)
	switch {
	case n <= 0:
		d.err = errShort
	case v > most:
		d.err = fmt.Errorf("%d where at most %d can be", v, most)
	default:
		d.rest = d.rest[n:]
		return v
	}
	return 0
}

func (d *decoder) varint() int64 {
	u := d.uvarint(1<<64 - 1)
	return int64(u>>1) ^ -int64(u&1)
}

// end returns the first error; bytes that are left are one.
func (d *decoder) end() error {
	if d.err == nil && len(d.rest) > 0 {
		d.err = fmt.Errorf("%d bytes too many", len(d.rest))
	}
	return d.err
}
