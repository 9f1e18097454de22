package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/barograph-db/barograph/ruler/rules"
)

func checkRulesCommand(app *kingpin.Application) command {
	clause := checkCommand(app).Command("rules", "Check rule files.")
	files := clause.Arg("file", "Rule files.").Required().Strings()
	return command{clause: clause, run: func(s streams) error { return checkRuleFiles(s, *files) }}
}

// checkRuleFiles prints one line for each problem, and fails if there is any. Rules that are there twice
// are noted only.
func checkRuleFiles(s streams, paths []string) error {
	var failed error
	for _, path := range paths {
		groups, err := readRuleFile(path, path)
		if err != nil {
			printRuleErrors(s, path, err)
			failed = errSilent
			continue
		}
		n := 0
		for _, g := range groups {
			n += len(g.Rules)
		}
		fmt.Fprintf(s.out, "%s: %d rules found\n", path, n)
		for _, r := range duplicates(groups) {
			fmt.Fprintf(s.out, "%s: warning: there is more than one rule %s%s\n", path, r.Name, r.Labels)
		}
	}
	return failed
}

// located is a line of an error that says where in the file it belongs: line and column.
var located = regexp.MustCompile(`^[0-9]+:[0-9]+: `)

func printRuleErrors(s streams, path string, err error) {
	for line := range strings.Lines(err.Error()) {
		gap := " "
		if located.MatchString(line) {
			gap = ""
		}
		fmt.Fprintf(s.err, "%s:%s%s\n", path, gap, strings.TrimRight(line, "\n"))
	}
}

// readRuleFile reads the groups of a file, into a namespace.
func readRuleFile(path, namespace string) ([]*rules.Group, error) {
	texts, err := readTexts(path)
	if err != nil {
		return nil, err
	}
	groups := make([]*rules.Group, len(texts))
	for i, t := range texts {
		if groups[i], err = rules.Parse(namespace, t, rules.Options{}); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

func readTexts(path string) ([]rules.Text, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return rules.File(data, rules.Options{})
}

// duplicates are rules, of any group, that have the name and labels of one before: what they write may
// be the same series.
func duplicates(groups []*rules.Group) (out []*rules.Rule) {
	seen := map[string]int{}
	for _, g := range groups {
		for i := range g.Rules {
			key := g.Rules[i].Name + g.Rules[i].Labels.String()
			if seen[key]++; seen[key] == 2 {
				out = append(out, &g.Rules[i])
			}
		}
	}
	return out
}
