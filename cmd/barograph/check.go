package main

import (
	"errors"
	"fmt"

	"github.com/alecthomas/kingpin/v2"

	"github.com/barograph-db/barograph/cmd/barograph/node"
)

func checkConfigCommand(app *kingpin.Application) command {
	clause := checkCommand(app).Command("config", "Check configuration files and say what in them has no effect.")
	files := clause.Arg("file", "Configuration files.").Required().Strings()
	return command{clause: clause, run: func(s streams) error { return checkConfigs(s, *files) }}
}

// checkCommand is the parent of the check commands, defined by whichever comes first.
func checkCommand(app *kingpin.Application) *kingpin.CmdClause {
	if c := app.GetCommand("check"); c != nil {
		return c
	}
	return app.Command("check", "Check files.")
}

// checkConfigs prints one line for each problem, and fails if there is any.
func checkConfigs(s streams, paths []string) error {
	var failed error
	for _, path := range paths {
		f, err := node.CheckFile(path)
		var fe *node.FileError
		switch {
		case errors.As(err, &fe):
			for _, line := range fe.Lines() {
				fmt.Fprintln(s.err, line)
			}
			failed = errSilent
		case err != nil:
			fmt.Fprintf(s.err, "%s: %v\n", path, err)
			failed = errSilent
		default:
			fmt.Fprintf(s.out, "%s: the configuration is valid\n", path)
			for _, key := range f.Unused() {
				fmt.Fprintf(s.out, "%s: note: %s is accepted, but has no effect in this version\n", path, key)
			}
		}
	}
	return failed
}
