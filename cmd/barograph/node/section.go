package node

import (
	"fmt"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Section is a part of the configuration that is accepted as Prometheus defines it and kept as it
// was written. It marshals with everything that may be a secret hidden.
type Section struct{ node *yaml.Node }

// Bounds of a section once its aliases are written out.
const (
	maxSectionNodes = 1 << 20
	maxSectionDepth = 100
)

// UnmarshalYAML keeps the node. It refuses one whose aliases name themselves or multiply.
func (s *Section) UnmarshalYAML(n *yaml.Node) error {
	left := maxSectionNodes
	if !expands(n, maxSectionDepth, &left) {
		return lineError(n, "the section is nested too deep or its aliases expand to too much")
	}
	s.node = n
	return nil
}

// expands counts the nodes below n down from left, aliases written out.
func expands(n *yaml.Node, depth int, left *int) bool {
	n = resolve(n)
	if *left--; *left < 0 || depth == 0 {
		return false
	}
	for _, item := range n.Content {
		if !expands(item, depth-1, left) {
			return false
		}
	}
	return true
}

// IsZero makes omitempty leave out a section that is not there.
func (s Section) IsZero() bool { return s.node == nil || s.node.Tag == "!!null" }

// MarshalYAML yields a copy of the section without its secrets.
func (s Section) MarshalYAML() (any, error) {
	if s.IsZero() {
		return nil, nil
	}
	return redact(s.node, false), nil
}

// wellFormed returns an error unless the section has the shape its key asks for.
func (s Section) wellFormed(key string, kind yaml.Kind) error {
	if s.IsZero() {
		return nil
	}
	n := resolve(s.node)
	if n.Kind != kind {
		return lineError(n, "%s must be %s", key, kindName(kind))
	}
	if kind != yaml.SequenceNode {
		return nil
	}
	for _, item := range n.Content {
		if resolve(item).Kind != yaml.MappingNode {
			return lineError(item, "each entry of %s must be %s", key, kindName(yaml.MappingNode))
		}
	}
	return nil
}

func kindName(k yaml.Kind) string {
	if k == yaml.MappingNode {
		return "a mapping (key: value)"
	}
	return "a list"
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// redacted stands in the place of a secret.
const redacted = "<secret>"

// redact copies a YAML tree; below a key that may hold a secret every scalar is hidden, and so is
// the user part of each URL. Aliases are written out, so that no anchor outlives its redaction.
func redact(n *yaml.Node, hide bool) *yaml.Node {
	n = resolve(n)
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style}
	switch n.Kind {
	case yaml.ScalarNode:
		if hide && n.Tag != "!!null" && n.Tag != "!!bool" {
			c.Tag, c.Value, c.Style = "!!str", redacted, 0
		} else {
			c.Value = redactURL(n.Value)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			c.Content = append(c.Content, redact(key, false), redact(n.Content[i+1], hide || secretKey(key.Value)))
		}
	default:
		for _, item := range n.Content {
			c.Content = append(c.Content, redact(item, hide))
		}
	}
	return c
}

// secretWords mark keys whose values may be secrets. The list errs on the hiding side: header and
// parameter values often carry tokens.
var secretWords = []string{
	"password", "passwd", "secret", "token", "credential", "private", "apikey", "api_key",
	"access_key", "authorization", "headers", "header", "params",
}

// secretKey reports whether what stands under the key may be a secret. The name of a file that
// holds one is none.
func secretKey(key string) bool {
	key = strings.ToLower(key)
	if strings.HasSuffix(key, "_file") || strings.HasSuffix(key, "_files") || strings.HasSuffix(key, "_url") {
		return false
	}
	if key == "key" || strings.HasSuffix(key, "_key") {
		return true
	}
	for _, w := range secretWords {
		if strings.Contains(key, w) {
			return true
		}
	}
	return false
}

func redactURL(s string) string {
	if !strings.Contains(s, "://") || !strings.Contains(s, "@") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return redacted
	}
	if u.User == nil {
		return s
	}
	u.User = url.User("xxxxx")
	return u.String()
}

// problem is one thing wrong in a configuration file.
type problem struct {
	line int // 0 where it is not known
	text string
}

// FileError says what is wrong with a configuration file, and where.
type FileError struct {
	Path     string
	problems []problem
}

func (e *FileError) Error() string { return strings.Join(e.Lines(), "; ") }

// Lines has one line for each problem: file:line: text.
func (e *FileError) Lines() []string {
	lines := make([]string, len(e.problems))
	for i, p := range e.problems {
		if p.line > 0 {
			lines[i] = fmt.Sprintf("%s:%d: %s", e.Path, p.line, p.text)
		} else {
			lines[i] = fmt.Sprintf("%s: %s", e.Path, p.text)
		}
	}
	return lines
}
