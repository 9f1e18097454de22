package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/hashicorp/memberlist"
)

const metadataVersion = 1

// metadata are what a node says of itself with its address. See doc.go for the bytes.
type metadata struct {
	protocol uint8 // highest version that is spoken
	lowest   uint8
	weight   uint32
	started  uint64 // When the process joined first, Unix ms: which of two came second.

	rpcAddr, name, zone, region, software string
}

func (m *metadata) texts() []*string {
	return []*string{&m.rpcAddr, &m.name, &m.zone, &m.region, &m.software}
}

// encode returns the metadata's bytes, or an error if they are too many.
func (m *metadata) encode() ([]byte, error) {
	b := []byte{metadataVersion, m.protocol, m.lowest}
	b = binary.AppendUvarint(b, uint64(m.weight))
	b = binary.AppendUvarint(b, m.started)
	for _, s := range m.texts() {
		b = binary.AppendUvarint(b, uint64(len(*s)))
		b = append(b, *s...)
	}
	if len(b) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("name, zone, region, RPC address and version take %d bytes with what else is told of a node: must be up to %d",
			len(b), memberlist.MetaMaxSize)
	}
	return b, nil
}

var errMalformed = errors.New("malformed")

// decodeMetadata reads what encode writes. What follows is of later versions, which only add.
func decodeMetadata(b []byte) (m metadata, err error) {
	if len(b) < 3 || len(b) > memberlist.MetaMaxSize {
		return metadata{}, errMalformed
	}
	if b[0] != metadataVersion {
		return metadata{}, fmt.Errorf("metadata of version %d: can only read %d", b[0], metadataVersion)
	}
	m.protocol, m.lowest = b[1], b[2]
	weight, b, err := uvarint(b[3:])
	if err != nil || weight > math.MaxUint32 {
		return metadata{}, errMalformed
	}
	m.weight = uint32(weight)
	if m.started, b, err = uvarint(b); err != nil {
		return metadata{}, err
	}
	for _, s := range m.texts() {
		var text []byte
		if text, b, err = sized(b, memberlist.MetaMaxSize); err != nil {
			return metadata{}, err
		}
		*s = string(text)
	}
	return m, nil
}

// uvarint takes a number off the front.
func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errMalformed
	}
	return v, b[n:], nil
}

// sized takes bytes with their length before them off the front.
func sized(b []byte, limit uint64) (text, rest []byte, err error) {
	n, b, err := uvarint(b)
	if err != nil || n > limit || n > uint64(len(b)) {
		return nil, nil, errMalformed
	}
	return b[:n:n], b[n:], nil
}
