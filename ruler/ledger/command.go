package ledger

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/barograph-db/barograph/ruler/rules"
)

const (
	// Name of the state.
	Name = "rules"

	version = 1
	// maxText bounds the text of an error that is kept, in bytes.
	maxText = 1024
	// maxSeconds bounds what an evaluation counts for.
	maxSeconds = 24 * 60 * 60
	// MaxBytes bounds what the ledger keeps, by what group.size counts.
	MaxBytes = 32 << 20
)

// Command is one change. One of its fields is set.
type Command struct {
	Version   int         `json:"version"`
	Files     *Files      `json:"files,omitempty"`
	Set       *Set        `json:"set,omitempty"`
	Assign    *Assign     `json:"assign,omitempty"`
	Evaluated []Evaluated `json:"evaluated,omitempty"`
	Carry     *Record     `json:"carry,omitempty"`
}

// Files are the rule files of a node, with a digest of them.
type Files struct {
	Node   string   `json:"node"`
	Digest string   `json:"digest"`
	Groups []Source `json:"groups,omitempty"`
}

// Source is the text of a group under its key.
type Source struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	YAML      string `json:"yaml"`
}

// Set changes the groups of the rule API: it puts one in, or, without a text, takes one out, or,
// without a name, all of a namespace.
type Set struct {
	Source
}

// Assign gives each group to a node. It must have the number after the last lease.
type Assign struct {
	Lease  uint64   `json:"lease"`
	Owners []Owning `json:"owners"`
}

// Owning are the groups of a node.
type Owning struct {
	Node   string      `json:"node"`
	Groups []rules.Key `json:"groups"`
}

// Evaluated is one evaluation of a group, at a timestamp in milliseconds since 1970.
type Evaluated struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Lease and Edit under which it was evaluated.
	Lease uint64 `json:"lease"`
	Edit  uint64 `json:"edit"`

	At      int64    `json:"at"`
	Began   int64    `json:"began"` // by the clock
	Seconds float64  `json:"seconds"`
	Rules   []Report `json:"rules"` // of all rules, in order
	Alerts  []Change `json:"alerts,omitempty"`
}

// Report is how the evaluation of a rule went.
type Report struct {
	ID      rules.ID `json:"id,string"`
	Seconds float64  `json:"seconds"`
	Series  int      `json:"series,omitempty"` // that came of it
	Err     string   `json:"err,omitempty"`
}

// Change of the alerts of a rule: those that are new or different, and the labels of those that are
// gone.
type Change struct {
	Rule rules.ID   `json:"rule,string"`
	Put  []Alert    `json:"put,omitempty"`
	Gone []LabelSet `json:"gone,omitempty"`
}

// Encode returns the command's bytes.
func (c *Command) Encode() []byte {
	c.Version = version
	return encode(c)
}

func decodeCommand(data []byte) (*Command, error) {
	c := &Command{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, err
	}
	if c.Version != version {
		return nil, versionError(c.Version)
	}
	n := 0
	for _, set := range []bool{c.Files != nil, c.Set != nil, c.Assign != nil, c.Evaluated != nil, c.Carry != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return nil, errors.New("not one command")
	}
	return c, nil
}

func versionError(v int) error {
	return fmt.Errorf("a command of version %d, and this node speaks %d", v, version)
}

// Result is what became of a command.
type Result struct {
	Err string `json:"err,omitempty"` // why it was refused, as a whole
	// Verdicts on each evaluation.
	Verdicts []Verdict `json:"verdicts,omitempty"`
}

// Verdict on an evaluation.
type Verdict string

// The verdicts.
const (
	Taken    Verdict = ""
	Gone     Verdict = "the group is no more"
	Replaced Verdict = "the group has another lease"
	Edited   Verdict = "the group has another text"
	Done     Verdict = "the group was evaluated then, or later, already"
	Full     Verdict = "the rules and alerts would be more than is allowed"
)

// DecodeResult reads what Apply returned, on any node, of a command with so many evaluations.
func DecodeResult(data []byte, evaluated int) (*Result, error) {
	r := &Result{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	if r.Err != "" {
		return nil, &RefusedError{Text: r.Err}
	}
	if len(r.Verdicts) != evaluated {
		return nil, fmt.Errorf("%d verdicts on %d evaluations", len(r.Verdicts), evaluated)
	}
	return r, nil
}

// RefusedError is why a command was refused as a whole.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

// Size is about how many bytes an evaluation takes in a command.
func (e *Evaluated) Size() int {
	n := 200 + len(e.Namespace) + len(e.Name) + 60*len(e.Rules)
	for i := range e.Rules {
		n += len(e.Rules[i].Err)
	}
	for i := range e.Alerts {
		for j := range e.Alerts[i].Put {
			a := &e.Alerts[i].Put[j]
			n += 200 + a.Labels.size() + a.Annotations.size()
		}
		for _, gone := range e.Alerts[i].Gone {
			n += gone.size()
		}
	}
	return n
}

func (s LabelSet) size() (n int) {
	for _, text := range s {
		n += len(text) + 3
	}
	return n
}

// encode marshals what can be marshalled by its type.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
