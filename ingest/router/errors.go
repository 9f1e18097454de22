package router

import (
	"errors"
	"fmt"
	"strings"

	"github.com/barograph-db/barograph/cluster/placement"
)

var (
	// errUnreachable is the failure of a node that Options.Reach does not know.
	errUnreachable = errors.New("the node can't be reached")
	// errUnknown is that of a node that could not tell whose samples it got. It must not count as one
	// that has them.
	errUnknown = errors.New("the node does not know a series of the frame")
)

// QuorumError says that too few replicas of a shard have taken a write. The rest of it may have been
// taken; samples may be written again.
type QuorumError struct {
	// Why is the account of the group of shards that decided.
	Why string
	// Failures are the nodes that failed until then.
	Failures []Failure
	// Err is why it was not waited for any longer; nil if waiting was of no use.
	Err error
}

// Failure is what a node answered.
type Failure struct {
	Node placement.NodeID
	Name string
	Err  error
}

// maxNamed bounds the nodes that an error names.
const maxNamed = 5

// Error names the shards, and what the nodes said.
func (e *QuorumError) Error() string {
	var b strings.Builder
	b.WriteString("too few replicas have taken the write: ")
	b.WriteString(e.Why)
	if e.Err != nil {
		fmt.Fprintf(&b, "; %s", e.Err)
	}
	for i, f := range e.Failures {
		if i == maxNamed {
			fmt.Fprintf(&b, "; and %d more nodes", len(e.Failures)-i)
			break
		}
		fmt.Fprintf(&b, "; %s: %s", f.Name, f.Err)
	}
	return b.String()
}

// Unwrap returns all causes.
func (e *QuorumError) Unwrap() []error {
	var errs []error
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	for _, f := range e.Failures {
		errs = append(errs, f.Err)
	}
	return errs
}
