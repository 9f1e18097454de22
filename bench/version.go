package main

import (
	"context"
	"os/exec"
	"strings"
)

// version asks the binary, or Debian's records where the binary does not know.
func version(ctx context.Context, t target) string {
	arg := "--version"
	if t.name == "barograph" {
		arg = "version"
	}
	out, _ := exec.CommandContext(ctx, t.binary, arg).CombinedOutput()
	if v := firstVersion(string(out)); v != "" {
		return v
	}
	out, _ = exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", t.name).Output()
	return firstVersion(string(out))
}

func firstVersion(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ',' || r == '-' }) {
		if v := strings.TrimPrefix(word, "v"); v != "" && v[0] >= '0' && v[0] <= '9' {
			return v
		}
	}
	return ""
}
