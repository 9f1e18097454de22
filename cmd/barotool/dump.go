package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
)

// dump is the command of that name.
type dump struct {
	path     string
	format   string
	part     string
	selector string
	limit    int
	samples  bool
	index    bool

	fs      vfs.FS
	out     io.Writer
	frames  *frame.Decoder // of the files of the log, one after the other
	damaged bool
}

func newDump(app *kingpin.Application) *dump {
	d := &dump{fs: readOnly{vfs.Default}, frames: frame.NewDecoder()}
	c := app.Command("dump", "Print what a data directory, a segment of the log or a checkpoint holds. Of a folder: its parts and "+
		"the files of its log, or one part. A node may be running on it; what that node takes away meanwhile is an error.")
	c.Arg("path", "Data directory, or a .wal or .checkpoint file.").Required().StringVar(&d.path)
	c.Flag("format", "text, or json: an object a line.").Default("text").EnumVar(&d.format, "text", "json")
	c.Flag("part", "Print the rows of this part, named as the list of parts names it.").PlaceHolder("PART").StringVar(&d.part)
	c.Flag("series", "Of a part, the series that match, with their chunks.").PlaceHolder("SELECTOR").StringVar(&d.selector)
	c.Flag("limit", "The most series to print; 0 is all.").Default("100").IntVar(&d.limit)
	c.Flag("samples", "Samples, too: of a part's series, or of a log's records.").BoolVar(&d.samples)
	c.Flag("index", "Of a part, the content of its index.").BoolVar(&d.index)
	return d
}

func (d *dump) run() error {
	info, err := os.Stat(d.path)
	if err != nil {
		return err
	}
	switch ext := filepath.Ext(d.path); {
	case info.IsDir() && d.part != "":
		return d.dumpPart()
	case info.IsDir():
		return d.dumpDirectory()
	case ext == ".wal" || ext == ".checkpoint":
		return d.dumpLog(d.path)
	}
	return fmt.Errorf("%s is neither a folder nor a .wal or .checkpoint file", d.path)
}

// print writes a line: the text, or the object with its type.
func (d *dump) print(kind string, v fmt.Stringer) error {
	if d.format == "text" {
		_, err := fmt.Fprintln(d.out, v)
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", kind, err)
	}
	line := fmt.Sprintf(`{"type":%q,%s`, kind, b[1:])
	if len(b) == 2 {
		line = fmt.Sprintf(`{"type":%q}`, kind)
	}
	_, err = fmt.Fprintln(d.out, line)
	return err
}

// damage is what can't be read.
type damage struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

func (x damage) String() string { return fmt.Sprintf("damaged: %s: %s", x.Where, x.What) }

func (d *dump) printDamage(where string, err error) error {
	d.damaged = true
	return d.print("damage", damage{Where: where, What: strings.ReplaceAll(err.Error(), "\n", "; ")})
}

// matchers of the selector; none, where there is none, match everything.
func (d *dump) matchers() ([]*labels.Matcher, error) {
	if d.selector == "" {
		return nil, nil
	}
	ms, err := parser.NewParser(parser.Options{}).ParseMetricSelector(d.selector)
	if err != nil {
		return nil, fmt.Errorf("--series: %w", err)
	}
	return ms, nil
}

// chunkLine is a chunk, with its samples if they are wanted.
type chunkLine struct {
	Encoding string `json:"encoding"`
	Samples  int    `json:"samples"`
	MinT     int64  `json:"mint"`
	MaxT     int64  `json:"maxt"`
	Bytes    int    `json:"bytes"`
	Shared   bool   `json:"shared_times,omitempty"`
	Open     bool   `json:"open,omitempty"`
	Points   []any  `json:"points,omitempty"` // [time, "value"]
}

func (c chunkLine) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "    %s, %d samples [%d, %d], %d bytes", c.Encoding, c.Samples, c.MinT, c.MaxT, c.Bytes)
	if c.Shared {
		b.WriteString(", times in common")
	}
	if c.Open {
		b.WriteString(", open")
	}
	for _, p := range c.Points {
		point := p.([2]any)
		fmt.Fprintf(&b, "\n      %d %s", point[0], point[1])
	}
	return b.String()
}

func (d *dump) describe(c chunk.Chunk, open bool) (chunkLine, error) {
	line := chunkLine{
		Encoding: c.Enc.String(), Samples: c.Samples, MinT: c.MinT, MaxT: c.MaxT, Bytes: len(c.Data),
		Shared: c.Times != nil, Open: open,
	}
	if !d.samples {
		return line, nil
	}
	it := chunk.NewIterator([]chunk.Chunk{c})
	for it.Next() != 0 {
		line.Points = append(line.Points, pointOf(it.Sample()))
	}
	return line, it.Err()
}
