package querier

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// regexBudget is what the regular expressions of one query may cost together. Matching is linear
// in the size of the compiled program and the length of the value, so the program's size is what
// counts; a few bytes of text can make a large one, by repetition.
type regexBudget struct {
	metrics            *metrics
	maxLength, maxSize int
	length, size       int
}

func (e *Engine) newRegexBudget() *regexBudget {
	return &regexBudget{metrics: e.metrics, maxLength: e.opts.MaxRegexLength, maxSize: e.opts.MaxRegexSize}
}

// spend takes what v costs from the budget, before anything compiles it.
func (b *regexBudget) spend(v string) error {
	b.length += len(v)
	if b.length > b.maxLength {
		return b.metrics.limited(BadData, limitRegexLength, int64(b.maxLength), "the query's regular expressions are %d bytes long", b.length)
	}
	b.size += regexSize(v, b.maxSize)
	if b.size > b.maxSize {
		return b.metrics.limited(BadData, limitRegexSize, int64(b.maxSize), "the query's regular expressions would compile to too large a program, with %q", clip(v))
	}
	return nil
}

// What a query takes once it is parsed, of each byte of its text and of each instruction of its
// regular expressions. Measured with TestLargestQueries.
const (
	textBytes        = 100
	instructionBytes = 256
)

// bytes is about what a text of this length and the regular expressions in it take.
func (b *regexBudget) bytes(length int) int64 {
	return int64(length)*textBytes + int64(b.size)*instructionBytes
}

// regexSize is about how many instructions v compiles to. Alternatives that are plain text are
// looked up in a table instead, and cost one each.
func regexSize(v string, limit int) int {
	if regexp.QuoteMeta(v) == strings.ReplaceAll(v, "|", `\|`) {
		return strings.Count(v, "|") + 1
	}
	// A Unicode class is hundreds of ranges as soon as it is parsed.
	const unicodeClass = 200
	size := unicodeClass * (strings.Count(v, `\p`) + strings.Count(v, `\P`))
	if size > limit {
		return size
	}
	re, err := syntax.Parse(v, syntax.Perl|syntax.DotNL)
	if err != nil {
		return size // It will not compile.
	}
	return size + treeSize(re, limit)
}

// treeSize adds up the instructions of a syntax tree, which is never deep (package syntax sees to
// that), and stops counting somewhere above limit.
func treeSize(re *syntax.Regexp, limit int) int {
	size := 1
	switch re.Op {
	case syntax.OpLiteral:
		size += len(re.Rune) / 16 // Text leads one way: it takes memory, but hardly time.
	case syntax.OpCharClass:
		size += len(re.Rune) / 16
	case syntax.OpCapture:
		size = 2
	case syntax.OpAlternate:
		size = len(re.Sub) - 1
	case syntax.OpConcat:
		size = 0
	}
	for _, sub := range re.Sub {
		if size > limit {
			return size
		}
		size += treeSize(sub, limit)
	}
	if re.Op == syntax.OpRepeat && size <= limit {
		size *= max(re.Min, re.Max, 1)
	}
	return size
}

func clip(s string) string {
	const longest = 64
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "..."
}
