package ruler

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/rules"
)

// maxNamespace bounds the name of a namespace, in bytes.
const maxNamespace = 256

// Errors of what is asked for by the rule API.
var (
	// ErrNotFound says that there is no such group, or none in the namespace.
	ErrNotFound = ledger.ErrNotFound
	// ErrFromFile says that a group is there by a rule file.
	ErrFromFile = errors.New("the group is there by a rule file, and is changed there")
)

// InvalidError is about what was asked for.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns what is inside.
func (e *InvalidError) Unwrap() error { return e.Err }

// checkNamespace returns an error unless the name can stand in a path and in a log.
func checkNamespace(name string) error {
	wrong := func(c rune) bool { return c == '/' || c == '\\' || !unicode.IsPrint(c) }
	switch {
	case name == "" || len(name) > maxNamespace:
		return &InvalidError{fmt.Errorf("a namespace has 1 to %d bytes", maxNamespace)}
	case !utf8.ValidString(name):
		return &InvalidError{errors.New("the namespace is not valid UTF-8")}
	}
	for _, c := range name {
		if wrong(c) {
			return &InvalidError{fmt.Errorf("the namespace has %q in it", c)}
		}
	}
	return nil
}

// Managed returns the groups that were put in by SetGroup, in the order of their keys: those of one
// namespace, or all if it is "".
func (r *Ruler) Managed(namespace string) []*ledger.Group {
	view, _ := r.opts.Ledger.View()
	var groups []*ledger.Group
	for _, g := range view.Groups {
		if g.Origin == ledger.FromAPI && (namespace == "" || g.Key.Namespace == namespace) {
			groups = append(groups, g)
		}
	}
	return groups
}

// SetGroup puts in a group of rules, or gives the one of its name another text. It returns once that is
// agreed upon and known here.
func (r *Ruler) SetGroup(ctx context.Context, namespace string, text []byte) error {
	if err := checkNamespace(namespace); err != nil {
		return err
	}
	group, err := rules.Single(text, r.settings.Load().Rules)
	if err != nil {
		return &InvalidError{err}
	}
	key := rules.Key{Namespace: namespace, Name: group.Name}
	if err := r.refuseFile(key); err != nil {
		return err
	}
	err = r.set(ctx, ledger.Source{Namespace: namespace, Name: group.Name, YAML: group.YAML})
	if err != nil {
		return err
	}
	return r.await(ctx, func(v *ledger.View) bool { g := v.Group(key); return g != nil && g.YAML == group.YAML })
}

// RemoveGroup takes a group out that was put in by SetGroup, or, without a name, all of a namespace.
func (r *Ruler) RemoveGroup(ctx context.Context, namespace, name string) error {
	if err := checkNamespace(namespace); err != nil {
		return err
	}
	if name != "" {
		if err := r.refuseFile(rules.Key{Namespace: namespace, Name: name}); err != nil {
			return err
		}
	}
	if err := r.set(ctx, ledger.Source{Namespace: namespace, Name: name}); err != nil {
		return err
	}
	return r.await(ctx, func(*ledger.View) bool {
		for _, g := range r.Managed(namespace) {
			if name == "" || g.Key.Name == name {
				return false
			}
		}
		return true
	})
}

func (r *Ruler) refuseFile(key rules.Key) error {
	view, _ := r.opts.Ledger.View()
	if g := view.Group(key); g != nil && g.Origin == ledger.FromFile {
		return ErrFromFile
	}
	return nil
}

func (r *Ruler) set(ctx context.Context, s ledger.Source) error {
	_, err := r.change(ctx, &ledger.Command{Set: &ledger.Set{Source: s}})
	var refused *ledger.RefusedError
	switch {
	case errors.As(err, &refused) && refused.Text == ErrNotFound.Error():
		return ErrNotFound
	case errors.As(err, &refused):
		return &InvalidError{refused}
	}
	return err
}

// known is how long it may take until a node hears of what the others have agreed upon.
const known = 5 * time.Second

// await waits until this node knows of a change. That it does not in time is no error: it is agreed upon,
// and another change may have come after it.
func (r *Ruler) await(ctx context.Context, there func(*ledger.View) bool) error {
	ctx, cancel := context.WithTimeout(ctx, known)
	defer cancel()
	for {
		view, changed := r.opts.Ledger.View()
		if there(view) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
