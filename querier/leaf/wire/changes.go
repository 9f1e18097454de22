package wire

import (
	"context"
	"encoding/binary"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/storage/changes"
)

// told is what a node tells of its changes.
type told struct {
	now   changes.Stamp
	spans []changes.Span
}

// Changes returns the node's present moment and what was changed since then.
func (r *Remote) Changes(ctx context.Context, since changes.Stamp) (changes.Stamp, []changes.Span, error) {
	all, err := ask(ctx, r, methodChanges, &request{since: since}, atMost(maxTold), tellings{})
	switch {
	case err != nil:
		return changes.Stamp{}, nil, err
	case len(all) != 1:
		return changes.Stamp{}, nil, malformed("%d moments", len(all))
	}
	return all[0].now, all[0].spans, nil
}

// changes answers at once: it costs less than a turn, and whoever asks is about to save one.
func (s *Server) changes(ctx context.Context, body []byte, send *sender) (int, error) {
	req, err := decodeRequest(methodChanges, body)
	if err != nil {
		return 0, err
	}
	node, ok := s.opts.Node.(leaf.Changer)
	if !ok {
		return 0, leaf.ErrUnchanging
	}
	var t told
	if t.now, t.spans, err = node.Changes(ctx, req.since); err != nil {
		return 0, err
	}
	return 1, sendList(send, []told{t}, tellings{})
}

// maxTold is more than the most spans take.
const maxTold = 64 << 10

type tellings struct{}

func (tellings) append(dst []byte, t told) []byte {
	dst = appendStamp(dst, t.now)
	dst = binary.AppendUvarint(dst, uint64(len(t.spans)))
	for _, s := range t.spans {
		dst = binary.AppendVarint(dst, s.Mint)
		dst = binary.AppendVarint(dst, s.Maxt)
	}
	return dst
}

func (tellings) decode(d *decoder) told {
	t := told{now: d.stamp()}
	n := d.count(2)
	if n > changes.MaxSpans {
		d.fail("%d spans", n)
		return t
	}
	for range n {
		t.spans = append(t.spans, changes.Span{Mint: d.varint(), Maxt: d.varint()})
	}
	return t
}

func (tellings) size(t told) int64 { return 64 + 16*int64(len(t.spans)) }

func appendStamp(dst []byte, s changes.Stamp) []byte {
	return binary.AppendUvarint(binary.LittleEndian.AppendUint64(dst, s.Life), s.Count)
}

func (d *decoder) stamp() (s changes.Stamp) {
	if b := d.bytes(8); b != nil {
		s.Life = binary.LittleEndian.Uint64(b)
	}
	s.Count = d.uvarint()
	return s
}
