package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/barograph-db/barograph/ruler/rules"
)

// rulesClient asks a node's rule API.
type rulesClient struct {
	target
	namespace, group string
	files            []string
}

func rulesCommands(app *kingpin.Application) []command {
	parent := app.Command("rules", "Test rules, and look at those of a cluster and change them.")
	c := &rulesClient{}
	of := func(name, help string) *kingpin.CmdClause {
		clause := parent.Command(name, help)
		c.register(clause)
		return clause
	}

	list := of("list", "Show the groups that were given to the rule API.")
	list.Arg("namespace", "Show those of one namespace only.").StringVar(&c.namespace)

	get := of("get", "Print a group as YAML.")
	get.Arg("namespace", "Namespace of the group.").Required().StringVar(&c.namespace)
	get.Arg("group", "Name of the group.").Required().StringVar(&c.group)

	load := of("load", "Put the groups of rule files into a namespace, in place of those with the same names.")
	load.Flag("namespace", "Where to put them.").Required().StringVar(&c.namespace)
	load.Arg("file", "Rule files.").Required().StringsVar(&c.files)

	remove := of("delete", "Delete a group, or all of a namespace.")
	remove.Arg("namespace", "Namespace of the group.").Required().StringVar(&c.namespace)
	remove.Arg("group", "Name of the group. Default: all groups.").StringVar(&c.group)

	return []command{
		rulesTestCommand(parent),
		{clause: list, run: c.list},
		{clause: get, run: c.get},
		{clause: load, run: c.load},
		{clause: remove, run: c.remove},
		rulesBackfillCommand(parent),
	}
}

// maxRules bounds what is read of an answer.
const maxRules = 256 << 20

// do sends a request to the rule API. Where there is nothing the answer is empty and found is false.
func (c *rulesClient) do(method string, body []byte, path ...string) (answer []byte, found bool, err error) {
	base, err := c.base()
	if err != nil {
		return nil, false, err
	}
	rt, err := c.transport()
	if err != nil {
		return nil, false, err
	}
	for i, name := range path {
		if name == "" || name == "." || name == ".." {
			return nil, false, fmt.Errorf("%q can't stand in an address", name)
		}
		path[i] = url.PathEscape(name)
	}
	addr := base.JoinPath(append([]string{"config", "v1", "rules"}, path...)...)
	req, err := http.NewRequestWithContext(context.Background(), method, addr.String(), bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/yaml")
	}
	resp, err := (&http.Client{Transport: rt, Timeout: time.Minute}).Do(req)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxRules))
	switch {
	case err != nil:
		return nil, false, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, false, nil
	case resp.StatusCode/100 != 2:
		return nil, false, fmt.Errorf("%s answers %s: %.1000s", base, resp.Status, strings.TrimSpace(string(answer)))
	}
	return answer, true, nil
}

// listed is what the table shows of a group.
type listed struct {
	Name     string         `yaml:"name"`
	Interval model.Duration `yaml:"interval"`
	Rules    []yaml.Node    `yaml:"rules"`
}

// list prints a table of groups.
func (c *rulesClient) list(s streams) error {
	var path []string
	if c.namespace != "" {
		path = []string{c.namespace}
	}
	text, _, err := c.do(http.MethodGet, nil, path...)
	if err != nil {
		return err
	}
	var all map[string][]listed
	if err := yaml.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAMESPACE\tGROUP\tRULES\tINTERVAL")
	for _, namespace := range slices.Sorted(maps.Keys(all)) {
		for _, g := range all[namespace] {
			interval := "default"
			if g.Interval != 0 {
				interval = g.Interval.String()
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", clean.Replace(namespace), clean.Replace(g.Name), len(g.Rules), interval)
		}
	}
	return w.Flush()
}

// get prints the YAML of a group.
func (c *rulesClient) get(s streams) error {
	text, found, err := c.do(http.MethodGet, nil, c.namespace, c.group)
	if err != nil {
		return err
	}
	if !found {
		return c.none()
	}
	_, err = s.out.Write(text)
	return err
}

func (c *rulesClient) none() error {
	if c.group == "" {
		return fmt.Errorf("there is no group in namespace %q", c.namespace)
	}
	return fmt.Errorf("there is no group %q in namespace %q", c.group, c.namespace)
}

// load sends the groups of files once all of them are found good.
func (c *rulesClient) load(s streams) error {
	var all []rules.Text
	from := map[string]string{} // the file, by the group's name
	for _, path := range c.files {
		texts, err := readTexts(path)
		if err != nil {
			printRuleErrors(s, path, err)
			return errSilent
		}
		for _, t := range texts {
			if other, twice := from[t.Name]; twice {
				return fmt.Errorf("group %q is in %s and in %s", t.Name, other, path)
			}
			from[t.Name] = path
		}
		all = append(all, texts...)
	}
	for i, t := range all {
		_, found, err := c.do(http.MethodPost, []byte(t.YAML), c.namespace)
		if err == nil && !found {
			err = fmt.Errorf("%s has no rule API", c.url)
		}
		if err != nil {
			return fmt.Errorf("group %q: %w (%d of %d groups are loaded)", t.Name, err, i, len(all))
		}
		fmt.Fprintf(s.out, "%s: group %s is loaded\n", from[t.Name], clean.Replace(t.Name))
	}
	return nil
}

// remove deletes a group, or a namespace.
func (c *rulesClient) remove(s streams) error {
	path := []string{c.namespace}
	if c.group != "" {
		path = append(path, c.group)
	}
	_, found, err := c.do(http.MethodDelete, nil, path...)
	if err != nil {
		return err
	}
	if !found {
		return c.none()
	}
	fmt.Fprintln(s.out, "deleted")
	return nil
}
