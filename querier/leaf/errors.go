package leaf

import (
	"errors"

	"github.com/barograph-db/barograph/querier/eval"
)

// ErrUnchanging is returned for the changes of a store that does not know of any.
var ErrUnchanging = errors.New("the store does not know what was changed")

// Failure is what a node said in place of an answer.
type Failure struct {
	// Kind is that of package querier.
	Kind uint8
	// Elsewhere says that another replica may well answer: the question is not at fault.
	Elsewhere bool
	// Fallback says that the node can't compute what it was asked to, though it can be read.
	Fallback bool
	// Stale says that the node does not hold what it was asked for by the placement that it knows, which
	// is of this epoch.
	Stale bool
	Epoch uint64
	Text  string
}

// Error is what the node said.
func (f *Failure) Error() string { return f.Text }

// Is makes a node that can't compute the same as eval.ErrFallback.
func (f *Failure) Is(target error) bool { return f.Fallback && target == eval.ErrFallback }
