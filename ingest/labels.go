package ingest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/barograph-db/barograph/storage/series"
)

const metricName = "__name__"

// checkLabels sorts pairs and returns what keeps them from naming a series, with its particulars.
// Labels with an empty value are as good as absent, except that they count as given.
func checkLabels(pairs []series.Pair, lim LabelLimits) (Reason, string) {
	if lim.Labels > 0 && len(pairs) > lim.Labels {
		return TooManyLabels, fmt.Sprintf("%d labels, the limit is %d", len(pairs), lim.Labels)
	}
	slices.SortFunc(pairs, func(a, b series.Pair) int { return bytes.Compare(a.Name, b.Name) })
	named := false
	for i, p := range pairs {
		switch {
		case len(p.Name) == 0:
			return EmptyLabelName, ""
		case lim.NameBytes > 0 && len(p.Name) > lim.NameBytes:
			return LabelNameTooLong, fmt.Sprintf("%d bytes, the limit is %d", len(p.Name), lim.NameBytes)
		case lim.ValueBytes > 0 && len(p.Value) > lim.ValueBytes:
			return LabelValueTooLong, fmt.Sprintf("%d bytes in label %q, the limit is %d", len(p.Value), clipBytes(p.Name), lim.ValueBytes)
		case !utf8.Valid(p.Name) || !utf8.Valid(p.Value):
			return InvalidUTF8, fmt.Sprintf("label %q", clipBytes(p.Name))
		case i > 0 && bytes.Equal(p.Name, pairs[i-1].Name):
			return DuplicateLabel, fmt.Sprintf("label %q", clipBytes(p.Name))
		}
		named = named || len(p.Value) > 0 && string(p.Name) == metricName
	}
	if !named {
		return NoMetricName, ""
	}
	return 0, ""
}

// Describe prints pairs as they came, clipped.
func Describe(pairs []series.Pair) string {
	var b strings.Builder
	b.WriteString("series {")
	for i, p := range pairs {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > maxDetail {
			break
		}
		fmt.Fprintf(&b, "%s=%q", clipBytes(p.Name), clipBytes(p.Value))
	}
	b.WriteString("}")
	return b.String()
}

// clipBytes shortens a name or value for an error.
func clipBytes(b []byte) string {
	const most = 64
	if len(b) > most {
		return strings.ToValidUTF8(string(b[:most]), "\uFFFD") + "..."
	}
	return string(b)
}
