package querier

import (
	"context"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// hostile are queries that take a process down, or most of its memory, unless they are refused.
var hostile = []struct {
	name  string
	query string
	limit limitName
}{
	{"text", "up" + strings.Repeat(" ", 2<<20), limitLength},
	{"parens", strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000), limitDepth},
	{"open parens", strings.Repeat("(", 1<<20), limitDepth},
	{"brackets", "up" + strings.Repeat("[", 100_000), limitDepth},
	{"braces", strings.Repeat("{", 100_000), limitDepth},
	{"unary", strings.Repeat("-", 100_000) + "1", limitDepth},
	{"unary spread", strings.Repeat("- +\n", 200_000) + "1", limitDepth},
	{"calls", strings.Repeat("abs(", 100_000) + "up" + strings.Repeat(")", 100_000), limitDepth},
	{"aggregations", strings.Repeat("sum(", 100_000) + "up" + strings.Repeat(")", 100_000), limitDepth},
	{"sums", "1" + strings.Repeat("+1", 100_000), limitDepth},
	{"powers", "1" + strings.Repeat("^1", 100_000), limitDepth},
	{"exponents", "1" + strings.Repeat("-0x1e", 100_000), limitDepth},
	{"comments", "1" + strings.Repeat("#)\n-1", 100_000), limitDepth},
	{"sets", "up" + strings.Repeat(" oR up", 100_000), limitDepth},
	{"sets without space", "(up)" + strings.Repeat("or(up)", 100_000), limitDepth},
	{"subqueries", "up" + strings.Repeat("[1h:1m]", 100_000), limitDepth},
	{"durations", "up[1m" + strings.Repeat("+1m", 100_000) + "]", limitDepth},
	{
		"levels that add up", // Each is chained after its bracket closed.
		strings.Repeat("(", 900) + "1" + strings.Repeat(strings.Repeat("+1", 500)+")", 900), limitDepth,
	},
	{"second argument", "round(1," + strings.Repeat("-", 100_000) + "1)", limitDepth},
	{"long regex", `up{a=~"` + strings.Repeat("a.", 200_000) + `"}`, limitRegexLength},
	{"alternatives", `up{a=~"` + strings.Repeat("a|", 100_000) + `b"}`, limitRegexSize},
	{"repetition", `up{a=~"((a{100}){100}){100}"}`, ""}, // Package syntax refuses it.
	{"large program", `up{a=~"(x{900}y){1}(.{800}){1}` + strings.Repeat("(.{1000})", 60) + `"}`, limitRegexSize},
	{"many regexes", `up{` + strings.Repeat(`a=~"(.{1000}){1}", `, 100) + `}`, limitRegexSize},
	{"escaped repetition", `up{a=~"` + strings.Repeat(`.\x7b1000\x7d`, 60) + `"}`, limitRegexSize},
	{"comment before regex", "up{a=~#c\n'" + strings.Repeat(".{1000}", 60) + "'}", limitRegexSize},
	{"classes", `up{a=~"` + strings.Repeat(`\\pL`, 30_000) + `"}`, limitRegexSize},
	{"regex of a function", `label_replace(up, "a", "b", "c", "` + strings.Repeat(".{1000}", 60) + `")`, limitRegexSize},
	{"subquery steps", "max_over_time(up[1d:1ms])", limitSteps},
	{"subquery without storage", "max_over_time(vector(1)[1d:1ms])", limitSteps},
	{"subquery that is the answer", "vector(1)[1d:1ms]", limitSteps},
	{"subquery of centuries", "max_over_time(vector(1)[290y:1ms])", limitSteps},
	{"subquery of an expression", "max_over_time(vector(1)[12h*2:1s/1000])", limitSteps},
	{"subquery at a time", "max_over_time(vector(time())[1d:1ms] @ 100)", limitSteps},
	{"subqueries together", "max_over_time(vector(1)[600000s:1s]) + max_over_time(vector(1)[600000s:1s])", limitSteps},
	{"nested subqueries", "max_over_time(max_over_time(vector(time())[1d:1s])[1d:1s])", limitVisits},
}

// peakMemory runs f and returns how much more memory the process had from the system.
func peakMemory(f func()) int64 {
	debug.FreeOSMemory()
	sample := []runtimemetrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	inUse := func() int64 {
		runtimemetrics.Read(sample)
		return int64(sample[0].Value.Uint64() - sample[1].Value.Uint64())
	}
	before := inUse()
	f()
	return inUse() - before // Freed memory is given back slowly: this is close to the peak.
}

func TestHostileQueries(t *testing.T) {
	e := newTestEngine(t, &fakeStore{series: 10, samples: 100}, Options{})
	for _, tc := range hostile {
		t.Run(tc.name, func(t *testing.T) {
			var err error
			var took time.Duration
			grown := peakMemory(func() {
				begin := time.Now()
				_, err = e.Instant(context.Background(), tc.query, unix(1000), QueryOptions{})
				took = time.Since(begin)
			})
			require.Error(t, err)
			require.Equal(t, BadData, KindOf(err), err)
			require.Less(t, len(err.Error()), 1000)
			if tc.limit != "" {
				requireLimit(t, err, BadData, tc.limit)
			}
			require.Less(t, grown, int64(32<<20), "bytes")
			require.Less(t, took, time.Second) // 100 ms on a machine that does nothing else.
			t.Logf("%v, %d KiB: %v", took, grown>>10, err)
		})
	}
	runtime.GC()
}

// The largest of what is let through has to be harmless, too.
func TestLargestQueries(t *testing.T) {
	e := newTestEngine(t, &fakeStore{series: 10, samples: 100}, Options{})
	alternatives := make([]string, 1500)
	for i := range alternatives {
		alternatives[i] = `host-` + strings.Repeat("x", i%20) + `\\.example\\.org:9100`
	}
	for name, query := range map[string]string{
		"parens":         strings.Repeat("(", 900) + "1" + strings.Repeat(")", 900),
		"unary":          strings.Repeat("-", 990) + "1",
		"calls":          strings.Repeat("abs(", 900) + "up" + strings.Repeat(")", 900),
		"sums":           "1" + strings.Repeat("+1", 990),
		"sets":           "up" + strings.Repeat(" or up", 900),
		"arguments":      `label_join(up, "a", ","` + strings.Repeat(`,"b"`, 50_000) + ")",
		"matchers":       "up{" + strings.Repeat(`i!="a",`, 20_000) + "}",
		"hosts":          `up{i=~"` + strings.Join(alternatives, "|") + `"}`,
		"literals":       `up{i=~"` + strings.Repeat("abcdef|", 9_000) + `x"}`,
		"stars":          `up{i=~"` + strings.Repeat("(.*)*", 1_500) + `"}`,
		"subquery":       "max_over_time(vector(1)[900000s:1s])",
		"constant":       "1",
		"text as string": `"` + strings.Repeat("(", 100_000) + `"`,
		"comment":        "up # " + strings.Repeat("(", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			var took time.Duration
			grown := peakMemory(func() {
				begin := time.Now()
				r, err := e.Instant(context.Background(), query, unix(1000), QueryOptions{})
				took = time.Since(begin)
				require.NoError(t, err)
				r.Close()
			})
			require.Less(t, grown, int64(256<<20), "bytes")
			t.Logf("%v, %d KiB", took, grown>>10)
		})
	}
}

// treeDepth is the depth of a parsed expression, each node one level.
func treeDepth(n parser.Node) int {
	deepest := 0
	for child := range parser.ChildrenIter(n) {
		deepest = max(deepest, treeDepth(child))
	}
	if m, ok := n.(*parser.MatrixSelector); ok {
		deepest = max(deepest, durationDepth(m.RangeExpr))
	}
	if s, ok := n.(*parser.SubqueryExpr); ok {
		deepest = max(deepest, durationDepth(s.RangeExpr), durationDepth(s.StepExpr))
	}
	return deepest + 1
}

func durationDepth(d *parser.DurationExpr) int {
	depth := 0
	if d == nil {
		return depth
	}
	for _, side := range []parser.Expr{d.LHS, d.RHS} {
		if inner, ok := side.(*parser.DurationExpr); ok {
			depth = max(depth, durationDepth(inner))
		}
	}
	return depth + 1
}

// FuzzScan holds the scan to its promise: what the parser makes of a text is never deeper than the
// scan says.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		"a + b", "-(-1)", `sum by (a, b) (rate(x{a=~"b|c"}[5m:1m] offset -1m)) or on(x) y`, "a[5m+1m*2:max(1s,2s)]",
		"1 == bool 2", "x </ 1 >/ 2", "#c\n'a\\'(('", "`((`", "0x1e-1", "1e-1", `{"a.b", c!~"d"}`, "x atan2 y unless z",
		"histogram_quantile(0.9, a) @ start()", "((((((1))))))+1+1", "a anchored", "1 ^ -1 ^ +-1", "x[1m][1m:]", "é or é",
	} {
		f.Add(s)
	}
	p := parser.NewParser(parser.Options{
		EnableExperimentalFunctions: true, EnableBinopFillModifiers: true, EnableUnquotedUTF8Names: true,
	})
	e, err := New(&fakeStore{}, Options{})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		s := scanner{text: text, maxDepth: unlimited, regexes: e.newRegexBudget()}
		if s.run() != nil {
			return
		}
		expr, err := p.ParseExpr(text)
		if err != nil {
			return
		}
		require.Empty(t, s.open)
		require.LessOrEqual(t, treeDepth(expr), s.cur.depth()+2, text)
	})
}
