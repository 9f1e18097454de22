package repair

import (
	"context"
	"encoding/binary"

	"github.com/barograph-db/barograph/cluster/placement"
)

// Loss is what a node gave up of what it kept for another.
type Loss struct {
	// From and To are inclusive, in milliseconds.
	From, To int64
	// Number is another one after each loss, and each start of the node.
	Number uint64
}

func (l Loss) encode() []byte {
	b := append(make([]byte, 0, 32), version, 1)
	b = binary.AppendVarint(binary.AppendVarint(b, l.From), l.To)
	return binary.LittleEndian.AppendUint64(b, l.Number)
}

// noLoss is what a node answers that has given up nothing.
func noLoss() []byte { return []byte{version, 0} }

func decodeLoss(b []byte) (l Loss, some bool, err error) {
	d, err := open(b)
	if err != nil {
		return l, false, err
	}
	switch d.byte() {
	case 0:
		return l, false, d.end()
	case 1:
	default:
		return l, false, errMessage
	}
	l.From, l.To, l.Number = d.varint(), d.varint(), d.uint64()
	if err = d.end(); err == nil && l.From > l.To {
		err = errMessage
	}
	return l, err == nil, err
}

// ServeLost answers a node that asks what was given up of what was kept for it.
func (r *Repairer) ServeLost(_ context.Context, from placement.NodeID, _ []byte) ([]byte, error) {
	if l, some := r.opts.Lost(from); some {
		return l.encode(), nil
	}
	return noLoss(), nil
}

// ServeRepaired hears from a node that it has what was given up.
func (r *Repairer) ServeRepaired(_ context.Context, from placement.NodeID, req []byte) ([]byte, error) {
	l, some, err := decodeLoss(req)
	if err == nil && some {
		err = r.opts.Repaired(from, l)
	}
	return nil, err
}

// loss asks a node what it gave up.
func (r *Repairer) loss(ctx context.Context, teller placement.NodeID) (Loss, bool, error) {
	if teller == r.opts.Self {
		l, some := r.opts.Lost(teller)
		return l, some, nil
	}
	b, err := r.call(ctx, teller, LostMethod, noLoss())
	if err != nil {
		return Loss{}, false, err
	}
	return decodeLoss(b)
}

// repaired tells it that this node has it.
func (r *Repairer) repaired(ctx context.Context, teller placement.NodeID, l Loss) error {
	if teller == r.opts.Self {
		return r.opts.Repaired(teller, l)
	}
	_, err := r.call(ctx, teller, RepairedMethod, l.encode())
	return err
}
