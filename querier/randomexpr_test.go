package querier_test

import (
	"fmt"
	"strings"
)

// pickGrid returns what times are a multiple of: aligned ones meet the borders of windows.
func (d *differential) pickGrid() int64 { return []int64{1, 1_000, 5_000, 15_000}[d.rng.IntN(4)] }

func (d *differential) pick(list ...string) string { return list[d.rng.IntN(len(list))] }

// expr returns a random expression.
func (d *differential) expr(depth int) string {
	if depth == 0 {
		return d.function()
	}
	switch d.rng.IntN(12) {
	case 0, 1, 2, 3, 4:
		return d.aggregation(d.function())
	case 5:
		return d.aggregation(d.selector())
	case 11:
		inner := d.pick(d.function(), d.selector())
		for range 1 + d.rng.IntN(3) {
			inner = d.values(inner)
		}
		return d.aggregation(inner)
	case 6:
		return d.aggregation(d.expr(depth - 1))
	case 7:
		return fmt.Sprintf("%s %s %s", d.expr(depth-1), d.pick("+", "-", "*", "/", ">", "== bool", "or", "and on (g)", "unless"), d.expr(depth-1))
	case 8:
		if d.rng.IntN(2) == 0 {
			return d.values(d.pick(d.function(), d.selector()))
		}
		return fmt.Sprintf("%s %s %s", d.expr(depth-1), d.pick("+", "/", "> bool", "<=", "%", "^"), d.pick("2", "0", "-1.5", "scalar(gauge{g=\"a\"})"))
	case 9:
		inner := d.expr(depth - 1)
		if d.rng.IntN(12) == 0 && !strings.Contains(inner, "natives") && !strings.Contains(inner, "many") { // The last bits of their sums would show.
			return fmt.Sprintf(`count_values("x", %s)`, inner)
		}
		return fmt.Sprintf(d.pick("-%s", "(%s)", "abs(%s)", "absent(%s)", "topk(3, %s)", "quantile by (g) (0.5, %s)",
			"histogram_quantile(0.9, %s)", "scalar(%s)", "timestamp(%s)", "sort_desc(%s)",
			`label_replace(%s, "__name__", "n", "g", "(.*)")`, `label_replace(%s, "y", "$1", "__name__", "(.*)")`,
			"max_over_time((%s)[2m:20s])", "stddev(%s)", "histogram_count(%s)", "histogram_avg(%s)", "histogram_fraction(0, 1, %s)"), inner)
	case 10:
		if d.rng.IntN(2) == 0 {
			inner := d.pick("native", "natives", "custom", "rate(native["+d.window()+"])", "increase(natives["+d.window()+"])", "rate(custom["+d.window()+"])")
			return fmt.Sprintf(d.pick("histogram_quantile(0.9, %s)", "histogram_count(%s)", "%s", "%s"), d.pick("sum", "avg", "count")+d.pick("", " by (g)", " without (i)")+" ("+inner+")")
		}
		return "histogram_quantile(0.5, sum by (le" + d.pick("", ", g") + ") (rate(lat_bucket[" + d.window() + "])))"
	}
	return d.function()
}

func (d *differential) aggregation(inner string) string {
	grouping := d.pick("", "", " by (g)", " by (g, i)", " without (i)", " without (g, le)", " by (__name__)", " by (none)", " without ()")
	switch d.rng.IntN(8) {
	case 0, 1:
		k := d.pick("1", "2", "3", "5", "100", "0", "-1", "2.9", "NaN", "1e300", "1 + time() % 4", "3 - pi()", "scalar(gauge)")
		return d.pick("topk", "bottomk") + grouping + " (" + k + ", " + inner + ")"
	case 2:
		phi := d.pick("0", "0.5", "0.9", "0.99", "1", "-0.1", "1.5", "NaN", "(time() % 60) / 50", "scalar(gauge)")
		return "quantile" + grouping + " (" + phi + ", " + inner + ")"
	case 3:
		return d.pick("stddev", "stdvar") + grouping + " (" + inner + ")"
	}
	return d.pick("sum", "sum", "avg", "min", "max", "count", "group") + grouping + " (" + inner + ")"
}

// scalar returns operations with numbers.
func (d *differential) scalar(inner string) string {
	op := d.pick("+", "-", "*", "/", "%", "^", ">", "<", ">=", "<=", "==", "!=", "> bool", "< bool", "== bool", "!= bool", "atan2")
	number := d.pick("0", "1", "2.5", "-3", "Inf", "NaN", "(8)", "1e308", "(2 ^ 10 * pi())", "time()", "(time() % 60)")
	if inner = "(" + inner + ")"; d.rng.IntN(3) == 0 {
		inner = d.scalar(inner)
	}
	if d.rng.IntN(2) == 0 {
		return number + " " + op + " (" + inner + ")"
	}
	return "(" + inner + ") " + op + " " + number
}

func (d *differential) function() string {
	window := d.metric() + "[" + d.window() + "]" + d.modifier()
	if d.rng.IntN(12) == 0 {
		window = d.subquery()
	}
	switch d.rng.IntN(10) {
	case 0:
		return fmt.Sprintf("quantile_over_time(%s, %s)", d.pick("0.5", "0", "1", "0.9", "2", "time() / 5000"), window)
	case 1:
		return fmt.Sprintf("predict_linear(%s, %s)", window, d.pick("60", "-3600", "1e9"))
	case 2:
		return fmt.Sprintf("double_exponential_smoothing(%s, %s)", window, d.pick("0.5, 0.1", "0.9, 0.9", "0.1, 1"))
	case 3:
		return "timestamp(" + d.selector() + ")"
	}
	return d.pick("rate", "rate", "rate", "increase", "delta", "irate", "idelta", "sum_over_time", "avg_over_time", "min_over_time",
		"max_over_time", "count_over_time", "last_over_time", "first_over_time", "present_over_time", "changes", "resets",
		"deriv", "stddev_over_time", "stdvar_over_time", "mad_over_time") + "(" + window + ")"
}

// subquery is a range, over what may have one in it.
func (d *differential) subquery() string {
	inner := d.pick(d.selector(), d.function(), "rate(req_total[5m])")
	switch d.rng.IntN(5) {
	case 0:
		inner = d.aggregation(inner)
	case 1:
		inner = d.values(inner)
	case 2:
		inner = d.join(0)
	}
	return "(" + inner + ")" + d.pick("[5m:1m]", "[3m:17s]", "[20m:]", "[10m:90s]", "[1m:2m]", "[30s:30s]") + d.pick("", "", "", " offset 1m", " offset -13s", " @ 1500")
}

// join is an operation between series.
func (d *differential) join(depth int) string {
	op := d.pick("+", "-", "*", "/", "/", "%", "^", ">", "<=", "==", "!=", "> bool", "!= bool", "atan2")
	matching := d.pick("", "", "", " on (i)", " on (i, g)", " ignoring (g)", " ignoring (le)", " on ()", " on (g) group_left ()",
		" on (g) group_right (le)", " on (i) group_left (g, le)", " ignoring (i) group_right (i)", " on (__name__, i)", " on (i) group_left (__name__)")
	return fmt.Sprintf("(%s) %s%s (%s)", d.side(depth), op, matching, d.side(depth))
}

func (d *differential) side(depth int) string {
	inner := d.pick(d.function(), d.selector(), d.selector())
	switch {
	case depth > 0 && d.rng.IntN(4) == 0:
		inner = d.join(depth - 1)
	case d.rng.IntN(4) == 0:
		inner = d.aggregation(inner)
	}
	if d.rng.IntN(4) == 0 {
		inner = d.values(inner)
	}
	return inner
}

// values are operations on each value of an expression.
func (d *differential) values(inner string) string {
	switch d.rng.IntN(4) {
	case 0:
		return d.pick("abs", "ceil", "floor", "round", "sqrt", "exp", "ln", "log2", "log10", "sgn", "sin", "cosh", "atan", "deg", "rad", "-", "+") +
			"(" + inner + ")"
	case 1:
		return fmt.Sprintf(d.pick("clamp(%s, -10, 40)", "clamp(%s, 2, 1)", "clamp_min(%s, 3)", "clamp_max(%s, 2 * 3)", "round(%s, 0.3)",
			"clamp_max(%s, time())", "round(%s, -0)"), inner)
	}
	return d.scalar(inner)
}

func (d *differential) window() string {
	return d.pick("15s", "1m", "5m", "61s", "90s", "1h", "7m3s4ms", "1ms")
}

func (d *differential) selector() string { return d.metric() + d.modifier() }

func (d *differential) metric() string {
	return d.pick("req_total", "req_total", "gauge", "gauge", "lat_bucket", "many", `{__name__=~"gauge|req_total"}`,
		`{__name__=~".+_total"}`, `req_total{g="a"}`, `gauge{i!="1"}`, "mixed", "nothing", `mixed{i="1"}`,
		"native", "native", "natives", "custom", `{__name__=~"native|custom"}`)
}

func (d *differential) modifier() string {
	return d.pick("", "", "", "", " offset 1m", " offset -90s", " @ 1000", " @ start()", " @ end() offset 10s", " offset 7ms")
}
