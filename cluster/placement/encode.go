package placement

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/barograph-db/barograph/storage/series"
)

// version of the encoded form, which docs/formats/placement.md draws.
const version = 1

// MaxEncoded bounds the encoded form of any placement, in bytes.
const MaxEncoded = 64 + MaxNodes*(32+2*(maxName+4)) + (1<<MaxBits)*(18+3*(MaxFactor+2))

// Append appends the encoded placement to dst.
func (p *Placement) Append(dst []byte) []byte {
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, p.Epoch)
	dst = binary.AppendUvarint(dst, p.Epoch-p.Fence)
	dst = append(dst, p.Bits)
	dst = binary.AppendUvarint(dst, uint64(p.Factor))
	dst = binary.AppendUvarint(dst, uint64(len(p.Nodes)))
	places := make(map[NodeID]uint64, len(p.Nodes))
	for i := range p.Nodes {
		n := &p.Nodes[i]
		places[n.ID] = uint64(i)
		dst = append(dst, n.ID[:]...)
		dst = binary.AppendUvarint(dst, uint64(n.Weight))
		dst = append(dst, byte(n.State))
		for _, text := range []string{n.Name, n.Zone} {
			dst = binary.AppendUvarint(dst, uint64(len(text)))
			dst = append(dst, text...)
		}
	}
	for _, replicas := range p.Shards {
		n := uint64(len(replicas))
		filling := n > 0 && replicas[n-1].Filling
		if n *= 2; filling {
			n++
		}
		dst = binary.AppendUvarint(dst, n)
		for _, r := range replicas {
			dst = binary.AppendUvarint(dst, places[r.Node])
			if !r.Filling {
				continue
			}
			takes := uint64(0)
			if r.For != (NodeID{}) {
				takes = 1 + places[r.For]
			}
			dst = binary.AppendUvarint(dst, takes)
			dst = binary.AppendUvarint(dst, p.Epoch-r.Since)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.Short)))
	for _, s := range slices.Sorted(maps.Keys(p.Short)) {
		dst = binary.AppendUvarint(dst, uint64(s))
		dst = append(dst, p.Short[s])
	}
	return dst
}

// ErrVersion is found in the error of Decode for what newer software has written.
var ErrVersion = errors.New("unknown version")

var errShort = errors.New("cut short")

// Decode reads what Append writes and validates it. It doesn't keep data.
func Decode(data []byte) (*Placement, error) {
	d := decoder{rest: data}
	if len(data) > MaxEncoded {
		return nil, fmt.Errorf("decode placement: %d bytes, more than %d", len(data), MaxEncoded)
	}
	if v := d.byte(); d.err == nil && v != version {
		return nil, fmt.Errorf("decode placement: %w %d, not %d", ErrVersion, v, version)
	}
	p := d.placement()
	if d.err == nil && len(d.rest) > 0 {
		d.err = fmt.Errorf("%d bytes too many", len(d.rest))
	}
	if d.err == nil {
		d.err = p.Validate()
	}
	if d.err != nil {
		return nil, fmt.Errorf("decode placement: %w", d.err)
	}
	return p, nil
}

// decoder reads until the first error.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) placement() *Placement {
	p := &Placement{Epoch: d.uvarint(1<<64 - 1)}
	p.Fence = p.Epoch - d.uvarint(p.Epoch)
	p.Bits, p.Factor = d.byte(), int(d.uvarint(MaxFactor))
	if d.err == nil && p.Bits > MaxBits {
		d.err = fmt.Errorf("%d bits of shards", p.Bits)
	}
	nodes := d.uvarint(MaxNodes)
	for range nodes {
		if d.err != nil {
			return nil
		}
		var n Node
		copy(n.ID[:], d.bytes(16))
		n.Weight = uint32(d.uvarint(maxWeight))
		n.State = State(d.byte())
		n.Name = string(d.bytes(d.uvarint(maxName)))
		n.Zone = string(d.bytes(d.uvarint(maxName)))
		p.Nodes = append(p.Nodes, n)
	}
	if d.err != nil {
		return nil
	}
	p.Shards = make([][]Replica, 1<<p.Bits)
	for s := range p.Shards {
		p.Shards[s] = d.replicas(p.Epoch, p.Nodes)
		if d.err != nil {
			return nil
		}
	}
	d.short(p)
	return p
}

// short reads which shards are short, in their order.
func (d *decoder) short(p *Placement) {
	n, last := d.uvarint(uint64(len(p.Shards))), -1
	if n > 0 && d.err == nil {
		p.Short = map[series.Shard]uint8{}
	}
	for ; n > 0 && d.err == nil; n-- {
		s := int(d.uvarint(uint64(len(p.Shards)) - 1))
		if s <= last && d.err == nil {
			d.err = errors.New("shards out of order")
		}
		p.Short[series.Shard(s)] = d.byte()
		last = s
	}
}

func (d *decoder) replicas(epoch uint64, nodes []Node) []Replica {
	n := d.uvarint(2*(MaxFactor+1) + 1)
	if d.err != nil {
		return nil
	}
	filling := n%2 == 1
	all := make([]Replica, n/2)
	for i := range all {
		all[i].Node = d.node(nodes, d.uvarint(MaxNodes))
	}
	if filling && len(all) > 0 {
		last := &all[len(all)-1]
		last.Filling = true
		if place := d.uvarint(MaxNodes); place > 0 {
			last.For = d.node(nodes, place-1)
		}
		last.Since = epoch - d.uvarint(epoch)
	}
	return all
}

func (d *decoder) node(nodes []Node, place uint64) NodeID {
	if d.err == nil && place >= uint64(len(nodes)) {
		d.err = fmt.Errorf("node %d of %d", place, len(nodes))
	}
	if d.err != nil {
		return NodeID{}
	}
	return nodes[place].ID
}

func (d *decoder) byte() byte {
	b := d.bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (d *decoder) bytes(n uint64) []byte {
	if d.err == nil && n > uint64(len(d.rest)) {
		d.err = errShort
	}
	if d.err != nil {
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

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
