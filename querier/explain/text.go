package explain

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

// String prints the explanation as in the package's example.
func (x *Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %s", line(x.Query), x.Start)
	if x.Step > 0 {
		fmt.Fprintf(&b, " to %s, step %s", x.End, x.Step)
	}
	fmt.Fprintf(&b, "\nasked of %s, which took %s, of these %s waiting for its turn\n\n", line(x.Node), x.Took, x.Waited)
	if x.Tree != nil {
		table(&b, func(row func(...any)) { x.Tree.print(row, 0) })
	}
	for _, r := range x.Reads {
		r.print(&b)
	}
	if x.MoreReads+x.MoreAsks > 0 {
		fmt.Fprintf(&b, "\n%d more reads and %d more questions to nodes\n", x.MoreReads, x.MoreAsks)
	}
	if len(x.Nodes) == 0 {
		return b.String()
	}
	b.WriteByte('\n')
	table(&b, func(row func(...any)) {
		row("node", "zone", "asked", "hedges", "instead", "failed", "series", "samples", "read", "sent", "took", "waited", "worked")
		for _, n := range x.Nodes {
			w := n.Work
			row(line(n.Name), line(n.Zone), n.Asked, n.Hedges, n.Instead, n.Failed, w.Series, w.Samples, bytesText(w.Read),
				bytesText(w.Sent), n.Took, w.Waited, w.Worked)
		}
	})
	return b.String()
}

func (x *Expr) print(row func(...any), depth int) {
	var notes []string
	if x.Left {
		notes = append(notes, "left by columns")
	}
	if len(x.Reads) > 0 {
		numbers := make([]string, len(x.Reads))
		for i, n := range x.Reads {
			numbers[i] = strconv.Itoa(n)
		}
		notes = append(notes, "read "+strings.Join(numbers, ", "))
	}
	if x.Took > 0 {
		notes = append(notes, x.Took.String())
	}
	row(x.By, strings.Repeat("  ", depth)+line(x.Text), strings.Join(notes, ", "))
	for _, inner := range x.Inner {
		inner.print(row, depth+1)
	}
}

func (r *Read) print(b *strings.Builder) {
	fmt.Fprintf(b, "\nread %d: %s of %s from %s to %s", r.Number, r.What, line(r.Selector), r.Start, r.End)
	if r.Epoch > 0 { // There is none on a node that is alone.
		fmt.Fprintf(b, " at epoch %d", r.Epoch)
	}
	switch {
	case r.Unused:
		fmt.Fprintf(b, ", of no use: %s", line(r.Error))
	case r.Error != "":
		fmt.Fprintf(b, ", which failed: %s", line(r.Error))
	}
	b.WriteByte('\n')
	within := func(shards string, start, end Time) string {
		if start != r.Start || end != r.End {
			return fmt.Sprintf("shards %s from %s to %s", shards, start, end)
		}
		return "shards " + shards
	}
	table(b, func(row func(...any)) {
		for _, p := range r.Parts {
			merged := ""
			if p.Merged {
				merged = ", merged"
			}
			row("  "+line(p.Node), within(p.Shards, p.Start, p.End)+merged)
			for _, k := range p.Asks {
				k.print(row, p, within)
			}
		}
	})
	for _, m := range r.Missing {
		fmt.Fprintf(b, "  missing: %s: %s\n", within(m.Shards, m.Start, m.End), line(m.Why))
	}
	if len(r.Parts)+len(r.Missing) == 0 {
		b.WriteString("  nothing to read\n")
	}
}

// print says of whom and for which shards only where it is not what the part says.
func (k *Ask) print(row func(...any), p *Part, within func(string, Time, Time) string) {
	who := "    " + line(k.Node)
	if k.Kind != Planned {
		who += ", " + string(k.Kind)
	}
	if k.Shards != p.Shards || k.Start != p.Start || k.End != p.End {
		who += ", " + within(k.Shards, k.Start, k.End)
	}
	switch {
	case k.Result == Failed:
		row(who, fmt.Sprintf("failed after %s: %s", k.Took, line(k.Error)))
	case k.Result == Discarded && k.Work == Work{}:
		row(who, fmt.Sprintf("%s after %s", k.Result, k.Took))
	default:
		w, done := k.Work, ""
		if k.Took > k.First {
			done = fmt.Sprintf(", done after %s", k.Took)
		}
		row(who, fmt.Sprintf("%s after %s%s: %d series, %d samples, %s read, %s sent; waited %s, worked %s",
			k.Result, k.First, done, w.Series, w.Samples, bytesText(w.Read), bytesText(w.Sent), w.Waited, w.Worked))
	}
}

// table aligns columns. What it is written to does not fail.
func table(b *strings.Builder, rows func(row func(cells ...any))) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	rows(func(cells ...any) {
		parts := make([]string, len(cells))
		for i, c := range cells {
			parts[i] = fmt.Sprint(c)
		}
		fmt.Fprintln(w, strings.Join(parts, "\t"))
	})
	_ = w.Flush()
	for row := range strings.Lines(text.String()) {
		b.WriteString(strings.TrimRight(row, " \n") + "\n")
	}
}

// line keeps what others wrote to one line, and from the terminal.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
