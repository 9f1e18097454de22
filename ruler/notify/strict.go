package notify

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"
)

// Prometheus' types read themselves by the second version of the YAML library, which alone knows how to
// be strict about what is inlined, and from text. The configuration file has been read by the third: so
// a section is written out again, and the lines of errors are led back to where it stood.

// Bounds of a section once its aliases are written out.
const (
	maxNodes = 1 << 17
	maxDepth = 100
)

// written is a copy of the section without aliases, merged keys, comments and braces: each key has a
// line of its own. The nodes keep the lines where they stood.
func written(n *yaml.Node) (*yaml.Node, error) {
	left := maxNodes
	c := spread(n, maxDepth, &left)
	if left < 0 {
		return nil, lineError(n, "the section is nested too deep or its aliases expand to too much")
	}
	return c, nil
}

// spread counts the nodes down from left, which is negative once there are too many.
func spread(n *yaml.Node, depth int, left *int) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style &^ yaml.FlowStyle, Line: n.Line}
	if depth == 0 {
		*left = -1
	}
	if *left--; *left < 0 {
		return c
	}
	for _, item := range n.Content {
		c.Content = append(c.Content, spread(item, depth-1, left))
	}
	if n.Kind == yaml.MappingNode {
		c.Content = merged(c.Content)
	}
	return c
}

// merged puts what stands under << among the keys, where they are not given.
func merged(pairs []*yaml.Node) []*yaml.Node {
	var own, others []*yaml.Node
	given := map[string]bool{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i].Tag != "!!merge" {
			own = append(own, pairs[i], pairs[i+1])
			given[pairs[i].Value] = true
			continue
		}
		from := []*yaml.Node{pairs[i+1]}
		if pairs[i+1].Kind == yaml.SequenceNode {
			from = pairs[i+1].Content
		}
		for _, f := range from {
			others = append(others, f.Content...)
		}
	}
	for i := 0; i+1 < len(others); i += 2 {
		if !given[others[i].Value] {
			own = append(own, others[i], others[i+1])
			given[others[i].Value] = true
		}
	}
	return own
}

// strict decodes what written has returned, and refuses keys that are not known.
func strict(n *yaml.Node, out any) error {
	text, err := yaml.Marshal(n)
	if err != nil {
		return lineError(n, "%w", err)
	}
	err = yamlv2.UnmarshalStrict(text, out)
	if err == nil {
		return nil
	}
	var types *yamlv2.TypeError
	if !errors.As(err, &types) {
		return lineError(n, "%w", err)
	}
	lines := map[int]int{}
	var again yaml.Node
	if yaml.Unmarshal(text, &again) == nil && len(again.Content) == 1 {
		match(again.Content[0], n, lines)
	}
	errs := make([]error, len(types.Errors))
	for i, text := range types.Errors {
		errs[i] = inPlace(text, n, lines)
	}
	return errors.Join(errs...)
}

// match maps the lines of a tree to those of another of the same shape.
func match(from, to *yaml.Node, lines map[int]int) {
	if _, ok := lines[from.Line]; !ok {
		lines[from.Line] = to.Line
	}
	for i := range min(len(from.Content), len(to.Content)) {
		match(from.Content[i], to.Content[i], lines)
	}
}

var (
	atLine       = regexp.MustCompile(`(?s)^line (\d+): (.*)$`)
	unknownField = regexp.MustCompile(`^field (.+) not found in type `)
	setTwice     = regexp.MustCompile(`^(?:field|key) (.+) already set in `)
)

// inPlace is one of the library's errors with the line where it stood, in the words of this package.
func inPlace(text string, n *yaml.Node, lines map[int]int) error {
	at := n.Line
	if m := atLine.FindStringSubmatch(text); m != nil {
		text = m[2]
		if line, err := strconv.Atoi(m[1]); err == nil && lines[line] > 0 {
			at = lines[line]
		}
	}
	if m := unknownField.FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("unknown key %q", m[1])
	} else if m := setTwice.FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("key %q is given twice", m[1])
	}
	return fmt.Errorf("line %d: %s", at, text)
}

func lineError(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: %w", n.Line, fmt.Errorf(format, args...))
}
