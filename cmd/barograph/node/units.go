package node

import (
	"fmt"
	"strconv"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Duration is a length of time in the notation of Prometheus' configuration: 15s, 1h30m, 30d.
type Duration time.Duration

// UnmarshalYAML reads the Prometheus notation; an error names the line.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := model.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		return lineError(n, "%q is not a duration (like 15s, 5m or 30d)", n.Value)
	}
	*d = Duration(v)
	return nil
}

// MarshalYAML prints the Prometheus notation.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// Set reads a flag's value.
func (d *Duration) Set(s string) error {
	v, err := model.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration (like 15s, 5m or 30d)", s)
	}
	*d = Duration(v)
	return nil
}

func (d Duration) String() string { return model.Duration(d).String() }

// Bytes is an amount of memory or disk in powers of 1024: 512MB, 2GiB; 0 is no limit where the
// field says so.
type Bytes int64

// UnmarshalYAML reads a number of bytes with or without a unit; an error names the line.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode || b.Set(n.Value) != nil {
		return lineError(n, "%q is not a size (like 512MB or 2GiB)", n.Value)
	}
	return nil
}

// MarshalYAML prints the size with its unit.
func (b Bytes) MarshalYAML() (any, error) { return b.String(), nil }

// Set reads a flag's value.
func (b *Bytes) Set(s string) error {
	if v, err := strconv.ParseUint(s, 10, 62); err == nil {
		*b = Bytes(v)
		return nil
	}
	v, err := units.ParseBase2Bytes(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a size (like 512MB or 2GiB)", s)
	}
	*b = Bytes(v)
	return nil
}

func (b Bytes) String() string { return units.Base2Bytes(b).String() }

// Room is a size of which none at all is not the same as nothing said.
type Room struct {
	Bytes
	Given bool
}

// UnmarshalYAML reads a size.
func (r *Room) UnmarshalYAML(n *yaml.Node) error {
	r.Given = true
	return r.Bytes.UnmarshalYAML(n)
}

// Set reads a flag's value.
func (r *Room) Set(s string) error {
	r.Given = true
	return r.Bytes.Set(s)
}

// IsZero reports whether nothing was said.
func (r Room) IsZero() bool { return !r.Given }

// limit is the size as options have it: zero is the default, a negative one is none.
func (r Room) limit() int64 {
	if r.Given && r.Bytes == 0 {
		return -1
	}
	return int64(r.Bytes)
}

// lineError is an error of the YAML decoder's own kind, which it collects with its others.
func lineError(n *yaml.Node, format string, args ...any) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: ", n.Line) + fmt.Sprintf(format, args...)}}
}
