package alert

import (
	"fmt"
	"regexp"
	"strings"
	"text/template/parse"
)

// Names of the functions that guarded templates call.
const (
	stepFunc  = "__step"
	boundFunc = "__bound"
)

// guard returns a template that does the same and calls two more functions: stepFunc at the beginning
// of each turn of a loop and of each template that is called, with the bytes of text in it, and
// boundFunc with what is to be printed or kept in a variable. So a template that runs away can be
// stopped, which the library that expands it cannot do.
func guard(name, text string) (string, error) {
	t := parse.New(name)
	t.Mode = parse.SkipFuncCheck | parse.ParseComments
	trees := map[string]*parse.Tree{}
	if _, err := t.Parse(text, "", "", trees); err != nil {
		return "", err
	}
	var b strings.Builder
	for called, tree := range trees {
		if called == name {
			continue
		}
		fmt.Fprintf(&b, "{{define %q}}%s{{end}}", called, guarded(tree.Root))
	}
	if main := trees[name]; main != nil {
		guardList(main.Root)
		b.WriteString(main.Root.String())
	}
	return b.String(), nil
}

// guarded guards a list that may be run many times.
func guarded(list *parse.ListNode) *parse.ListNode {
	size := guardList(list)
	list.Nodes = append([]parse.Node{&parse.ActionNode{
		NodeType: parse.NodeAction,
		Pipe: &parse.PipeNode{NodeType: parse.NodePipe, Cmds: []*parse.CommandNode{{
			NodeType: parse.NodeCommand,
			Args: []parse.Node{
				parse.NewIdentifier(stepFunc),
				&parse.NumberNode{NodeType: parse.NodeNumber, Text: fmt.Sprint(size)},
			},
		}}},
	}}, list.Nodes...)
	return list
}

// guardList guards what is in a list, and returns how much text it prints by itself.
func guardList(list *parse.ListNode) (size int) {
	if list == nil {
		return 0
	}
	branch := func(b *parse.BranchNode) {
		guardArgs(b.Pipe)
		size += guardList(b.List) + guardList(b.ElseList)
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			size += len(n.Text)
		case *parse.ActionNode:
			guardPipe(n.Pipe)
		case *parse.IfNode:
			branch(&n.BranchNode)
		case *parse.WithNode:
			branch(&n.BranchNode)
		case *parse.RangeNode:
			branch(&n.BranchNode)
			n.List = guarded(n.List)
		case *parse.TemplateNode:
			guardArgs(n.Pipe)
		}
	}
	return size
}

// guardPipe bounds what a pipeline comes to.
func guardPipe(p *parse.PipeNode) {
	guardArgs(p)
	p.Cmds = append(p.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Args: []parse.Node{parse.NewIdentifier(boundFunc)}})
}

// guardArgs bounds what pipelines in brackets come to.
func guardArgs(p *parse.PipeNode) {
	if p == nil {
		return
	}
	for _, c := range p.Cmds {
		for _, a := range c.Args {
			if chain, ok := a.(*parse.ChainNode); ok {
				a = chain.Node
			}
			if inner, ok := a.(*parse.PipeNode); ok {
				guardPipe(inner)
			}
		}
	}
}

// wide finds a width or precision of four digits and more, or one that is an argument.
var wide = regexp.MustCompile(`%[^a-zA-Z%]*([0-9]{4}|\*)`)

// meter stops a template that does too much.
type meter struct {
	limits TemplateLimits
	done   <-chan struct{}
	steps  int
	bytes  int
}

func (m *meter) step(text int) (string, error) {
	select {
	case <-m.done:
		return "", fmt.Errorf("the template takes too long")
	default:
	}
	if m.steps++; m.steps > m.limits.Steps {
		return "", fmt.Errorf("the template takes more than %d steps", m.limits.Steps)
	}
	return "", m.print(text)
}

func (m *meter) print(bytes int) error {
	if m.bytes += bytes; m.bytes > m.limits.Bytes {
		return fmt.Errorf("the template comes to more than %d bytes", m.limits.Bytes)
	}
	return nil
}

func (m *meter) bound(v any) (any, error) {
	if s, ok := v.(string); ok {
		return v, m.print(len(s))
	}
	return v, nil
}

// funcs are those that guarded templates call, and those that could come to too much at once.
func (m *meter) funcs() map[string]any {
	return map[string]any{
		stepFunc: m.step, boundFunc: m.bound,
		"printf": func(format string, args ...any) (string, error) {
			if wide.MatchString(format) {
				return "", fmt.Errorf("a width of more than three digits in the format %.40q", format)
			}
			return fmt.Sprintf(format, args...), nil
		},
		"reReplaceAll": func(pattern, repl, text string) (string, error) {
			re, err := regexp.Compile(pattern)
			if err != nil {
				return "", err
			}
			// What stands in for a group is at most the text, wherever the replacement names one.
			if n := len(text) + (len(text)+1)*(len(repl)+strings.Count(repl, "$")*len(text)); len(text) > 1024 && n > 64*m.limits.Bytes {
				return "", fmt.Errorf("replacing in %d bytes may come to %d", len(text), n)
			}
			return re.ReplaceAllString(text, repl), nil
		},
	}
}
