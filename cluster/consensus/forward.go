package consensus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// Kinds of requests between groups.
const (
	propose  = 1 // a command, as it goes into the log
	progress = 2 // how far the log has been applied
)

// status is how a request ended, as it crosses.
type status uint8

const (
	statusOK status = iota
	statusNoLeader
	statusLost
	statusTooLarge
	statusUnknownState
	statusBusy
	statusClosed
)

// statuses have their names and errors.
var statuses = [...]struct {
	name string
	err  error
}{
	statusOK:           {"ok", nil},
	statusNoLeader:     {"no_leader", ErrNoLeader},
	statusLost:         {"lost", ErrLost},
	statusTooLarge:     {"too_large", ErrTooLarge},
	statusUnknownState: {"unknown_state", ErrUnknownState},
	statusBusy:         {"busy", ErrBusy},
	statusClosed:       {"closed", ErrClosed},
}

func (s status) String() string { return statuses[s].name }

func statusOf(err error) status {
	if err == nil {
		return statusOK
	}
	for s, known := range statuses {
		if known.err != nil && errors.Is(err, known.err) {
			return status(s)
		}
	}
	return statusLost
}

func appendRequest(dst []byte, kind byte, rest []byte) []byte {
	return append(append(dst, version, kind), rest...)
}

// maxResponseText bounds the words of an error.
const maxResponseText = 4 << 10

func appendResponse(dst []byte, data []byte, err error) []byte {
	s := statusOf(err)
	if s == statusClosed {
		s = statusNoLeader // To whoever asks, it is not closed.
	}
	dst = append(dst, version, byte(s))
	if err != nil {
		text := err.Error()
		return append(dst, text[:min(len(text), maxResponseText)]...)
	}
	return append(dst, data...)
}

// decodeResponse returns the error that it carries too. A response that is none means ErrLost.
func decodeResponse(response []byte) ([]byte, error) {
	d := decoder{rest: response}
	d.version()
	s := status(d.byte())
	if d.err == nil && int(s) >= len(statuses) {
		d.err = fmt.Errorf("status %d", s)
	}
	switch {
	case d.err != nil:
		return nil, fmt.Errorf("decode response: %w: %w", ErrLost, d.err)
	case s != statusOK:
		return nil, fmt.Errorf("%w: %q", statuses[s].err, d.rest[:min(len(d.rest), maxResponseText)])
	}
	return d.rest, nil
}

// Forwarded answers what another node's group sent by its Options.Forward. It returns an error only
// for a request that makes no sense.
func (g *Group) Forwarded(ctx context.Context, request []byte) ([]byte, error) {
	d := decoder{rest: request}
	d.version()
	kind := d.byte()
	if d.err != nil {
		return nil, fmt.Errorf("decode request: %w", d.err)
	}
	switch kind {
	case propose:
		state, command, err := decodeCommand(d.rest)
		if err != nil {
			return nil, fmt.Errorf("decode request: %w", err)
		}
		var result []byte
		if err = g.check(state, command); err == nil {
			result, err = g.apply(ctx, d.rest)
		}
		return appendResponse(nil, result, g.count(err)), nil
	case progress:
		r := g.raft.Load()
		if r == nil {
			return appendResponse(nil, nil, ErrClosed), nil
		}
		return appendResponse(nil, binary.AppendUvarint(nil, r.AppliedIndex()), nil), nil
	}
	return nil, fmt.Errorf("decode request: kind %d", kind)
}

// askProgress asks another node how far it has applied the log.
func (g *Group) askProgress(ctx context.Context, of Server) (uint64, error) {
	response, err := g.opts.Forward(ctx, of, appendRequest(nil, progress, nil))
	if err != nil {
		return 0, err
	}
	data, err := decodeResponse(response)
	if err != nil {
		return 0, err
	}
	d := decoder{rest: data}
	applied := d.uvarint(1<<64 - 1)
	return applied, d.end()
}
