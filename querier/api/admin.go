package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// errNotHere answers for an act that this node cannot do.
var errNotHere = errors.New("this node cannot do that")

func (a *API) deleteSeries(r request) (answer, error) {
	if a.opts.Admin.Delete == nil {
		return answer{}, fail(notFound, errNotHere)
	}
	if len(r.form["match[]"]) == 0 {
		return answer{}, fail(badData, errors.New("no match[] parameter provided"))
	}
	mint, maxt, err := r.bounds()
	if err != nil {
		return answer{}, err
	}
	// All are read before anything is deleted.
	sets, err := a.selectors(r)
	if err != nil {
		return answer{}, badParam("match[]", err)
	}
	for _, ms := range sets {
		if err := a.opts.Admin.Delete(r.Context(), mint, maxt, ms...); err != nil {
			return answer{}, fail(internal, err)
		}
	}
	return answer{}, nil
}

func (a *API) cleanTombstones(r request) (answer, error) {
	return act(r, a.opts.Admin.CleanTombstones)
}

func (a *API) flush(r request) (answer, error) { return act(r, a.opts.Admin.Flush) }

func (a *API) seal(r request) (answer, error) { return act(r, a.opts.Admin.Seal) }

// act does f and answers with 204 when it is done.
func act(r request, f func(context.Context) error) (answer, error) {
	if f == nil {
		return answer{}, fail(notFound, errNotHere)
	}
	if err := f(r.Context()); err != nil {
		return answer{}, fail(internal, err)
	}
	return answer{}, nil
}

func (a *API) snapshot(r request) (answer, error) {
	if a.opts.Admin.Snapshot == nil {
		return answer{}, fail(notFound, errNotHere)
	}
	skipHead := false
	if s := r.value("skip_head"); s != "" {
		var err error
		if skipHead, err = strconv.ParseBool(s); err != nil {
			return answer{}, badParam("skip_head", fmt.Errorf("unable to parse boolean: %w", err))
		}
	}
	name, err := a.opts.Admin.Snapshot(r.Context(), skipHead)
	if err != nil {
		return answer{}, failf(internal, "create snapshot: %w", err)
	}
	return answer{data: map[string]string{"name": name}}, nil
}
