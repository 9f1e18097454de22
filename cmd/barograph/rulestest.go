package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/barograph-db/barograph/cmd/barograph/scratch"
	"github.com/barograph-db/barograph/ruler/unittest"
)

func rulesTestCommand(group *kingpin.CmdClause) command {
	clause := group.Command("test", "Run unit tests of rules, in promtool's file format.")
	only := clause.Flag("run", "Regular expression: run the tests whose names match; may be repeated.").PlaceHolder("REGEXP").Strings()
	files := clause.Arg("file", "Test files.").Required().Strings()
	return command{clause: clause, run: func(s streams) error { return testRules(s, *files, *only) }}
}

// testRules prints the verdict on each file as promtool does, and fails if one is bad.
func testRules(s streams, paths, only []string) error {
	o := unittest.Options{Open: func(step time.Duration) (unittest.Store, error) { return scratch.Open(step) }}
	if len(only) > 0 {
		var err error
		if o.Only, err = regexp.Compile(strings.Join(only, "|")); err != nil {
			return fmt.Errorf("--run: %w", err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var failed error
	for _, path := range paths {
		fmt.Fprintf(s.out, "Unit Testing: %s\n", path)
		v := unittest.Run(ctx, path, o)
		for _, w := range v.Warnings {
			fmt.Fprintf(s.err, "  WARNING: %s\n", w)
		}
		if len(v.Failed) == 0 {
			fmt.Fprintf(s.out, "  SUCCESS\n\n")
			continue
		}
		failed = errSilent
		fmt.Fprintln(s.err, "  FAILED:")
		for _, err := range v.Failed {
			fmt.Fprintf(s.err, "%v\n\n", err)
		}
	}
	return failed
}
