package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/barograph-db/barograph/cluster/placement"
)

// Gap is a stretch of time for which a node lacks acknowledged samples.
type Gap struct {
	Node placement.NodeID
	// From and To are inclusive, in milliseconds; a gap that is open ends at math.MaxInt64.
	From, To int64
	// Forgot says that the node had samples of that time which it acknowledged, and has them no more.
	Forgot bool
	// By is who tells of it. It says so by being who tells.
	By placement.NodeID
}

const (
	gapsFact    = "gaps"
	gapsVersion = 2
	// maxGaps of one node are told; each takes 37 bytes at most, and gossip has room for 64 KiB.
	maxGaps = 1500
	// gapForgot is a flag.
	gapForgot = 1 << 0
)

// PublishGaps tells the others which nodes lack samples that this node has had acknowledged. They are
// told in place of those before.
func (c *Cluster) PublishGaps(gaps []Gap) error {
	if len(gaps) > maxGaps {
		return fmt.Errorf("%d gaps are more than can be told", len(gaps))
	}
	var value []byte
	if len(gaps) > 0 {
		value = appendGaps(nil, gaps)
	}
	return c.pool.Publish(gapsFact, value)
}

// Gaps are those that any node tells of which the region has not given up: what those kept for others
// nobody will bring, and who lacks it tells so by itself.
func (c *Cluster) Gaps() []Gap {
	var all []Gap
	p := c.Placement()
	for _, f := range c.pool.Facts(gapsFact) {
		if len(f.Value) == 0 || p == nil {
			continue
		}
		if n, ok := p.Node(f.Node); !ok || n.State == placement.Lost {
			continue
		}
		gaps, err := decodeGaps(f.Value)
		if err != nil {
			c.opts.Logger.Error("A node tells of gaps in a way that this one doesn't understand", "node", f.Node, "err", err)
		}
		for i := range gaps {
			gaps[i].By = f.Node
		}
		all = append(all, gaps...)
	}
	return all
}

func appendGaps(b []byte, gaps []Gap) []byte {
	b = append(b, gapsVersion)
	for _, g := range gaps {
		b = append(b, g.Node[:]...)
		flags := byte(0)
		if g.Forgot {
			flags = gapForgot
		}
		b = append(b, flags)
		b = binary.AppendVarint(b, g.From)
		b = binary.AppendUvarint(b, uint64(g.To)-uint64(g.From))
	}
	return b
}

var errGaps = errors.New("decode gaps: not what a node tells")

func decodeGaps(b []byte) ([]Gap, error) {
	if len(b) == 0 || b[0] != gapsVersion {
		return nil, errGaps
	}
	var gaps []Gap
	for b = b[1:]; len(b) > 0; {
		var g Gap
		if len(b) <= len(g.Node) || len(gaps) == maxGaps || b[len(g.Node)] > gapForgot {
			return nil, errGaps
		}
		b = b[copy(g.Node[:], b):]
		g.Forgot, b = b[0] == gapForgot, b[1:]
		from, n := binary.Varint(b)
		if n <= 0 {
			return nil, errGaps
		}
		width, m := binary.Uvarint(b[n:])
		if m <= 0 || width > uint64(math.MaxInt64)-uint64(from) {
			return nil, errGaps
		}
		g.From, g.To = from, int64(uint64(from)+width)
		gaps, b = append(gaps, g), b[n+m:]
	}
	return gaps, nil
}
