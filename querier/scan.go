package querier

import (
	"strings"

	"github.com/prometheus/prometheus/util/strutil"
)

// The parser keeps its own stack on the heap, but everything after it walks the tree it built by
// recursion: type checks, printing, evaluation. A tree as deep as a megabyte of text can make it
// takes more stack than a goroutine may have, and that ends the process. And the parser compiles
// regular expressions as it meets them.
//
// So a scan goes before the parser. It knows just enough of the language to tell strings and
// comments from the rest, and bounds the depth of the tree from above, in one pass: an expression
// between two brackets or commas is at most as deep as it has operators, plus the deepest bracket
// in it. That counts a+b+c as deep as it will be (operators lean to one side), and a*b+c*d too
// deep by little. It may take text for deeper than it is, never for less deep. What it can't make
// sense of it skips: the parser says what is wrong there.
//
// It returns how many bytes the parsed query will take.
func (e *Engine) scan(text string) (int64, error) {
	if limit := e.opts.MaxLength; len(text) > limit {
		return 0, e.metrics.limited(BadData, limitLength, int64(limit), "the query is %d bytes long", len(text))
	}
	s := scanner{text: text, maxDepth: e.opts.MaxDepth, metrics: e.metrics, regexes: e.newRegexBudget()}
	err := s.run()
	return s.regexes.bytes(len(text)), err
}

type scanner struct {
	text     string
	pos      int
	maxDepth int
	metrics  *metrics
	open     []level // the brackets that are open
	cur      level   // what is inside the innermost of them
	regexes  *regexBudget
	regex    bool // the last thing was =~ or !~
}

// level is an expression between brackets, as far as it has been seen.
type level struct {
	bracket  byte
	ops      int // operators since the bracket or the last comma
	deepest  int // depth of the deepest bracket since then
	finished int // depth of the deepest expression before the last comma
}

func (l *level) depth() int { return max(l.ops+l.deepest, l.finished) }

func (s *scanner) run() error {
	for s.pos < len(s.text) {
		if err := s.step(); err != nil {
			return err
		}
		if depth := max(s.cur.depth(), len(s.open)); depth > s.maxDepth {
			return s.metrics.limited(BadData, limitDepth, int64(s.maxDepth),
				"the query is nested or chained too deep at byte %d", s.pos)
		}
	}
	return nil
}

// step passes one token.
func (s *scanner) step() error {
	regex := s.regex
	s.regex = false
	switch c := s.text[s.pos]; c {
	case ' ', '\t', '\n', '\r':
		s.regex = regex
		s.pos++
	case '#':
		s.regex = regex
		s.pos += lineLen(s.text[s.pos:])
	case '"', '\'', '`':
		quoted := s.text[s.pos : s.pos+stringLen(s.text[s.pos:])]
		s.pos += len(quoted)
		if regex {
			return s.regexes.spendQuoted(quoted)
		}
	case '(', '[', '{':
		if c == '[' {
			s.cur.ops++ // A range or a subquery is around what stands before it.
		}
		s.open = append(s.open, s.cur)
		s.cur = level{bracket: c}
		s.pos++
	case ')', ']', '}':
		s.close()
		s.pos++
	case ',':
		s.cur = level{bracket: s.cur.bracket, finished: s.cur.depth()}
		s.pos++
	case '+', '-', '*', '/', '%', '^', '<', '>', '=', '!', '@':
		s.operator()
	default:
		s.word()
	}
	return nil
}

// close ends the innermost bracket.
func (s *scanner) close() {
	if len(s.open) == 0 {
		return
	}
	depth := s.cur.depth() + 1
	s.cur = s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	s.cur.deepest = max(s.cur.deepest, depth)
}

// operator passes one operator. In braces operators only compare labels.
func (s *scanner) operator() {
	n := 1
	if rest := s.text[s.pos:]; len(rest) > 1 {
		switch rest[:2] {
		case "=~", "!~":
			s.regex, n = true, 2
		case "==", "!=", "<=", ">=", "</", ">/":
			n = 2
		}
	}
	if s.cur.bracket != '{' {
		s.cur.ops++
	}
	s.pos += n
}

// word passes a name, a keyword, a number or a byte that means nothing. Numbers are cut at their
// signs, so that 1e-5 counts as an operation; 0x1e-5 is one.
func (s *scanner) word() {
	n := 0
	for s.pos+n < len(s.text) && wordByte(s.text[s.pos+n]) {
		n++
	}
	switch strings.ToLower(s.text[s.pos : s.pos+min(n, 8)]) {
	case "and", "or", "unless", "atan2":
		if s.cur.bracket != '{' {
			s.cur.ops++
		}
	}
	s.pos += max(n, 1)
}

func wordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == ':' || c == '.' || c >= 0x80
}

// lineLen is the length of s up to the end of its first line.
func lineLen(s string) int {
	if i := strings.IndexAny(s, "\n\r"); i >= 0 {
		return i
	}
	return len(s)
}

// stringLen is the length of the quoted string that s starts with, quotes included; the rest of s
// where it does not end.
func stringLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return i + 1
		case s[i] == '\\' && s[0] != '`':
			i++
		}
	}
	return len(s)
}

// spendQuoted is spend for a string as it is written in a query.
func (b *regexBudget) spendQuoted(quoted string) error {
	v, err := strutil.Unquote(quoted)
	if err != nil {
		return nil // The parser says what is wrong with it.
	}
	return b.spend(v)
}
