package main

import (
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every flag of serve stands in docs/configuration.md.
func TestDocsOfFlags(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	require.NoError(t, err)
	_, commands := newApp(streams{out: io.Discard, err: io.Discard})
	require.Equal(t, "serve", commands[0].clause.FullCommand())
	for _, f := range commands[0].clause.Model().Flags {
		require.Contains(t, string(text), "| `--"+f.Name+"` |", "docs/configuration.md does not tell of --%s", f.Name)
	}
}
