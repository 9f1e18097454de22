package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
)

func main() {
	if version.Version == "" { // Built without the Makefile.
		version.Version = "0.0.0-dev"
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// errDamaged ends the process with exit code 1 when the damage has been printed.
var errDamaged = errors.New("there is damage")

// run parses the line, runs its command and returns the exit code: 1 when the command fails or
// finds damage, 2 when the line is wrong.
func run(args []string, stdout, stderr io.Writer) int {
	app := kingpin.New("barotool", "Looks into Barograph's files.")
	app.HelpFlag.Short('h')
	app.UsageWriter(stdout).ErrorWriter(stderr)
	code := -1 // Set when kingpin has done all there is to do, as for --help.
	app.Terminate(func(c int) { code = c })
	app.Version(version.Print("barotool"))
	d := newDump(app)
	_, err := app.Parse(args)
	switch {
	case code >= 0:
		return code
	case err != nil:
		fmt.Fprintf(stderr, "barotool: %v (see barotool --help)\n", err)
		return 2
	}
	out := bufio.NewWriter(stdout)
	d.out = out
	err = errors.Join(d.run(), out.Flush())
	if err == nil && d.damaged {
		err = errDamaged
	}
	if err != nil {
		fmt.Fprintf(stderr, "barotool: %v\n", err)
		return 1
	}
	return 0
}
