package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
)

func main() {
	if version.Version == "" { // Built without the Makefile.
		version.Version = "0.0.0-dev"
	}
	os.Exit(run(os.Args[1:], streams{out: os.Stdout, err: os.Stderr}))
}

// streams are where a command writes.
type streams struct{ out, err io.Writer }

// command is a subcommand: where it stands in the line, and what it does once the line was parsed.
type command struct {
	clause *kingpin.CmdClause
	run    func(streams) error
}

// errSilent ends the process with exit code 1 when the reason has been printed already.
var errSilent = errors.New("failed")

// newApp defines the command line.
func newApp(s streams) (*kingpin.Application, []command) {
	app := kingpin.New("barograph", "A Prometheus-compatible time-series database.")
	app.HelpFlag.Short('h')
	app.UsageWriter(s.out).ErrorWriter(s.err)
	return app, slices.Concat([]command{
		serveCommand(app),
		checkConfigCommand(app),
		checkRulesCommand(app),
		importCommand(app),
		queryInstantCommand(app),
		queryRangeCommand(app),
		versionCommand(app),
	}, clusterCommands(app), rulesCommands(app))
}

// run parses the line, runs its command and returns the exit code: 1 when the command fails, 2
// when the line is wrong.
func run(args []string, s streams) int {
	app, commands := newApp(s)
	code := -1 // Set when kingpin has done all there is to do, as for --help.
	app.Terminate(func(c int) { code = c })
	selected, err := app.Parse(args)
	switch {
	case code >= 0:
		return code
	case err != nil:
		fmt.Fprintf(s.err, "barograph: %v (see barograph --help)\n", err)
		return 2
	}
	for _, c := range commands {
		if c.clause.FullCommand() != selected {
			continue
		}
		if err := c.run(s); err != nil {
			if !errors.Is(err, errSilent) {
				fmt.Fprintf(s.err, "barograph: %v\n", err)
			}
			return 1
		}
	}
	return 0
}

func versionCommand(app *kingpin.Application) command {
	return command{
		clause: app.Command("version", "Print the version."),
		run: func(s streams) error {
			_, err := fmt.Fprintln(s.out, version.Print("barograph"))
			return err
		},
	}
}
