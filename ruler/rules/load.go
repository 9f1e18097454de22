package rules

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// maxFiles bounds how many files patterns may match.
const maxFiles = 10_000

// Source is a rule file: its path, which is the namespace of its groups, and what it holds.
type Source struct {
	Path   string
	Groups []Text
}

// Load reads the rule files that match any of the patterns, which are paths or globs of filepath.Match,
// in the order of the paths, each file once. The error joins what is wrong
// with all the files: either all are good or none is to be used.
func Load(patterns []string, o Options) ([]Source, error) {
	o.EnsureDefaults()
	var (
		paths []string
		errs  []error
	)
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule_files: %q: %w", p, err))
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	if len(paths) > maxFiles {
		return nil, fmt.Errorf("rule_files: %d files, and %d are allowed", len(paths), maxFiles)
	}
	sources := make([]Source, 0, len(paths))
	for _, p := range paths {
		data, err := readFile(p, o.MaxBytes)
		if err == nil {
			var groups []Text
			groups, err = File(data, o)
			sources = append(sources, Source{Path: p, Groups: groups})
		}
		errs = append(errs, of(p, err)...)
	}
	return sources, errors.Join(errs...)
}

// of puts the path before each of the errors that are joined.
func of(path string, err error) (errs []error) {
	joined, ok := err.(interface{ Unwrap() []error }) // The joined errors are wanted one by one.
	switch {
	case err == nil:
	case ok:
		for _, e := range joined.Unwrap() {
			errs = append(errs, of(path, e)...)
		}
	default:
		errs = append(errs, fmt.Errorf("%s:%w", path, spaced{err}))
	}
	return errs
}

// spaced is an error whose text follows a path: with its line at once, else after a space.
type spaced struct{ error }

func (e spaced) Error() string {
	if text := e.error.Error(); text[0] >= '0' && text[0] <= '9' {
		return text
	}
	return " " + e.error.Error()
}

func (e spaced) Unwrap() error { return e.error }

func readFile(path string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("more than %d bytes", most)
	}
	return data, err
}
