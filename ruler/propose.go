package ruler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/barograph-db/barograph/ruler/ledger"
)

const (
	// maxBatch bounds the evaluations in one proposal, and maxBatchBytes their size, which the largest
	// may go beyond by itself.
	maxBatch      = 512
	maxBatchBytes = 1 << 20
	// MaxCommand bounds a command, in bytes.
	MaxCommand = 8 << 20
	// proposalTimeout is how long a proposal may take before it is tried again.
	proposalTimeout = 10 * time.Second
)

// proposal waits to be agreed upon.
type proposal struct {
	evaluated *ledger.Evaluated
	size      int
	done      chan outcome // has room for one
}

type outcome struct {
	verdict ledger.Verdict
	err     error
}

// propose waits until it is known what became of an evaluation.
func (r *Ruler) propose(ctx context.Context, e *ledger.Evaluated) (ledger.Verdict, error) {
	p := proposal{evaluated: e, size: e.Size(), done: make(chan outcome, 1)}
	select {
	case r.proposals <- p:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	select {
	case o := <-p.done:
		return o.verdict, o.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// agree proposes what waits, all that there is at a time, until ctx ends.
func (r *Ruler) agree(ctx context.Context) {
	var left *proposal // taken, but too large for the batch before
	for {
		var batch []proposal
		size := 0
		if left != nil {
			batch, size, left = append(batch, *left), left.size, nil
		} else {
			select {
			case p := <-r.proposals:
				batch, size = append(batch, p), p.size
			case <-ctx.Done():
				return
			}
		}
	more:
		for len(batch) < maxBatch {
			select {
			case p := <-r.proposals:
				if size+p.size > maxBatchBytes {
					left = &p
					break more
				}
				batch, size = append(batch, p), size+p.size
			default:
				break more
			}
		}
		r.proposeBatch(ctx, batch)
	}
}

func (r *Ruler) proposeBatch(ctx context.Context, batch []proposal) {
	c := &ledger.Command{Evaluated: make([]ledger.Evaluated, len(batch))}
	for i, p := range batch {
		c.Evaluated[i] = *p.evaluated
	}
	result, err := r.change(ctx, c)
	var refused *ledger.RefusedError
	if errors.As(err, &refused) { // It is one that is too large, and will be so again.
		result, err = &ledger.Result{Verdicts: slices.Repeat([]ledger.Verdict{ledger.Full}, len(batch))}, nil
	}
	r.metrics.batch.Observe(float64(len(batch)))
	outcomeOf := "agreed"
	if err != nil {
		outcomeOf = "failed"
	}
	r.metrics.proposals.WithLabelValues(outcomeOf).Inc()
	for i, p := range batch {
		o := outcome{err: err}
		if err == nil {
			o.verdict = result.Verdicts[i]
		}
		p.done <- o
	}
}

// change has all nodes apply a command.
func (r *Ruler) change(ctx context.Context, c *ledger.Command) (*ledger.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, proposalTimeout)
	defer cancel()
	command := c.Encode()
	if len(command) > MaxCommand {
		return nil, &ledger.RefusedError{Text: fmt.Sprintf("%d bytes to be agreed upon at once, and %d are allowed", len(command), MaxCommand)}
	}
	data, err := r.opts.Propose(ctx, command)
	if err != nil {
		return nil, err
	}
	return ledger.DecodeResult(data, len(c.Evaluated))
}
