package fanout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/barograph-db/barograph/querier/plan"
)

// maxMissing is how many stretches are named in a warning or an error.
const maxMissing = 16

// MissingError says what no node could answer.
type MissingError struct {
	Missing []plan.Missing
	// Err is why, where a node had been asked.
	Err error
}

// Error names shards, times and reasons.
func (e *MissingError) Error() string {
	var texts []string
	for i, m := range e.Missing {
		if i == maxMissing {
			texts = append(texts, fmt.Sprintf("and %d more", len(e.Missing)-i))
			break
		}
		texts = append(texts, m.String())
	}
	return "missing " + strings.Join(texts, "; ")
}

// Unwrap returns why.
func (e *MissingError) Unwrap() error { return e.Err }

// Missing collects what an answer lacks. It may be used concurrently.
type Missing struct {
	mu struct {
		sync.Mutex
		seen map[string]bool
		all  []error
	}
}

type missingKey struct{}

// Allow returns a context in which answers may lack what no node has, and what is going to know what
// that was.
func Allow(ctx context.Context) (context.Context, *Missing) {
	m := &Missing{}
	m.mu.seen = map[string]bool{}
	return context.WithValue(ctx, missingKey{}, m), m
}

// Warnings say which shards and times are missing, each once.
func (m *Missing) Warnings() []error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.all
}

// Incomplete reports whether an answer with this context lacks something, which was allowed.
func Incomplete(ctx context.Context) bool { return len(missingOf(ctx).Warnings()) > 0 }

// accept takes an error if it says that something is missing and nothing else.
func (m *Missing) accept(err error) bool {
	var missing *MissingError
	if m == nil || !errors.As(err, &missing) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if text := err.Error(); !m.mu.seen[text] && len(m.mu.all) < maxMissing {
		m.mu.seen[text] = true
		m.mu.all = append(m.mu.all, errors.New("the answer is not complete: "+text))
	}
	return true
}

func missingOf(ctx context.Context) *Missing {
	m, _ := ctx.Value(missingKey{}).(*Missing)
	return m
}
