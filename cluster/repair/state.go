package repair

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/barograph-db/barograph/cluster/durable"
)

const (
	stateFile    = "repair.json"
	stateVersion = 1
	maxState     = 1 << 20 // bytes
	// maxGaps of its own are kept; with more, neighbours are taken together.
	maxGaps = 256
)

// Gap is a stretch of time for which this node lacks samples, as it knows itself.
type Gap struct {
	// From and To are inclusive, in milliseconds.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Forgot says that it had acknowledged samples of that time, and lost them; else it may have missed
	// some.
	Forgot bool `json:"forgot,omitempty"`
	// Parts are damaged, and had the samples.
	Parts []string `json:"parts,omitempty"`
}

// state is what is kept over restarts.
type state struct {
	Version int   `json:"version"`
	Gaps    []Gap `json:"gaps,omitempty"`
	// Compared are days, ascending.
	Compared []compared `json:"compared,omitempty"`
}

func (s *state) encode() []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("encode what is to be repaired: %v", err)) // It has nothing that can't be.
	}
	return append(text, '\n')
}

func decodeState(text []byte) (*state, error) {
	s := &state{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("decode what is to be repaired: %w", err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("decode what is to be repaired: version %d is not known", s.Version)
	}
	if slices.ContainsFunc(s.Gaps, func(g Gap) bool { return g.From > g.To }) || len(s.Gaps) > maxGaps {
		return nil, errors.New("decode what is to be repaired: its gaps make no sense")
	}
	for i, c := range s.Compared {
		if c.First > c.Last || i > 0 && s.Compared[i-1].Last >= c.First {
			return nil, errors.New("decode what is to be repaired: its days are not in order")
		}
	}
	return s, nil
}

// load reads the state. Where it can't be read, everything is compared anew, and what the node has forgotten
// is found so.
func (r *Repairer) load() (*state, error) {
	text, err := durable.Read(r.opts.FS, r.path(), maxState)
	if errors.Is(err, os.ErrNotExist) {
		return &state{Version: stateVersion}, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeState(text)
}

func (r *Repairer) path() string { return r.opts.FS.PathJoin(r.opts.Dir, stateFile) }

// withGap returns the gaps and one more. One that overlaps with others of its kind, or is one too many,
// makes one with them.
func withGap(gaps []Gap, g Gap) []Gap {
	var rest []Gap
	for _, o := range gaps {
		if o.Forgot == g.Forgot && o.From <= g.To && g.From <= o.To {
			g = joined(o, g)
		} else {
			rest = append(rest, o)
		}
	}
	if len(rest) == maxGaps {
		g = joined(rest[0], g)
		rest = rest[1:]
	}
	rest = append(rest, g)
	slices.SortFunc(rest, func(a, b Gap) int { return slices.Compare([]int64{a.From, a.To}, []int64{b.From, b.To}) })
	return rest
}

// joined is a gap in the place of two.
func joined(a, b Gap) Gap {
	parts := append(slices.Clone(a.Parts), b.Parts...)
	slices.Sort(parts)
	return Gap{
		From: min(a.From, b.From), To: max(a.To, b.To), Forgot: a.Forgot || b.Forgot, Parts: slices.Compact(parts),
	}
}

// equalGaps reports whether it is the same one still.
func equalGaps(a, b Gap) bool {
	return a.From == b.From && a.To == b.To && a.Forgot == b.Forgot && slices.Equal(a.Parts, b.Parts)
}
