package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/head"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/wal"
)

// logFile is what a file of the log says of itself.
type logFile struct {
	File      string `json:"file"`
	Kind      string `json:"kind"`
	Number    uint64 `json:"number"`
	Previous  uint64 `json:"previous,omitempty"`
	PrevBytes int64  `json:"previous_bytes,omitempty"`
}

func (f logFile) String() string {
	s := fmt.Sprintf("%s %d: %s", f.Kind, f.Number, f.File)
	if f.Previous != 0 {
		s += fmt.Sprintf(", after the first %d bytes of segment %d", f.PrevBytes, f.Previous)
	}
	return s
}

// record is an entry of a file of the log.
type record struct {
	Offset int64  `json:"offset"`
	Bytes  int64  `json:"bytes"`
	Kind   string `json:"kind"`
	*frameLine
	Generation uint64 `json:"generation,omitempty"`
	Series     int    `json:"series,omitempty"` // of a checkpoint's record
}

func (r record) String() string {
	s := fmt.Sprintf("%d: %s, %d bytes", r.Offset, r.Kind, r.Bytes)
	if r.frameLine != nil {
		s += r.frameLine.String()
	}
	if r.Generation > 0 {
		s += fmt.Sprintf(", generation %d", r.Generation)
	}
	if r.Series > 0 {
		s += fmt.Sprintf(", %d series", r.Series)
	}
	return s
}

// dumpLog prints a segment or a checkpoint.
func (d *dump) dumpLog(path string) error {
	info, err := wal.DumpSegment(d.fs, path, func(wal.Entry) error { return nil })
	if err != nil {
		return err
	}
	f := d.fileOf(path, info)
	if err := d.print("file", f); err != nil {
		return err
	}
	_, err = wal.DumpSegment(d.fs, path, func(e wal.Entry) error {
		where := fmt.Sprintf("%s at %d", d.fs.PathBase(path), e.Offset)
		switch {
		case e.Damaged:
			return d.printDamage(where, fmt.Errorf("%d bytes", e.Bytes))
		case e.Kind == 0:
			return d.print("record", record{Offset: e.Offset, Bytes: e.Bytes, Kind: "end"})
		case e.Kind == wal.KindCheckpoint:
			return d.dumpCheckpointRecord(e, where)
		case e.Kind == storage.KindFrame:
			return d.dumpFrame(e, where)
		}
		return d.printDamage(where, fmt.Errorf("record of unknown kind %d", e.Kind))
	})
	return err
}

func (d *dump) dumpFrame(e wal.Entry, where string) error {
	var f frame.Frame
	switch err := d.frames.Decode(&f, e.Payload); {
	case errors.Is(err, frame.ErrLost):
		return d.print("record", record{Offset: e.Offset, Bytes: e.Bytes, Kind: "frame that builds on one that is not here"})
	case err != nil:
		return d.printDamage(where, err)
	}
	if err := d.print("record", record{Offset: e.Offset, Bytes: e.Bytes, Kind: "frame", frameLine: lineOf(&f)}); err != nil {
		return err
	}
	return d.printFrame(&f)
}

func (d *dump) dumpCheckpointRecord(e wal.Entry, where string) error {
	unpacked, err := storage.UnpackCheckpoint(nil, e.Payload)
	if err != nil {
		return d.printDamage(where, err)
	}
	r, err := head.DumpRecord(unpacked)
	if err != nil {
		return d.printDamage(where, err)
	}
	line := record{Offset: e.Offset, Bytes: e.Bytes, Kind: "head", Generation: r.Generation, Series: len(r.Series)}
	if r.Frame != nil {
		line.frameLine = lineOf(r.Frame)
	}
	if err := d.print("record", line); err != nil {
		return err
	}
	for _, s := range r.Series {
		if err := d.dumpHeadSeries(s, where); err != nil {
			return err
		}
	}
	if r.Frame != nil {
		return d.printFrame(r.Frame)
	}
	return nil
}

func (d *dump) dumpHeadSeries(s head.RecordSeries, where string) error {
	if err := d.print("series", seriesLine{Ref: refText(s.Ref), Labels: s.Labels.String()}); err != nil {
		return err
	}
	for i, c := range append(s.Closed[:len(s.Closed):len(s.Closed)], s.Open) {
		if c.Samples == 0 {
			continue
		}
		if err := d.printChunk(c, i == len(s.Closed), where); err != nil {
			return err
		}
	}
	return nil
}

// frameLine says what is in a frame.
type frameLine struct {
	Sender     uint64 `json:"sender,omitempty"`
	Seq        uint64 `json:"seq,omitempty"`
	Defined    int    `json:"defined,omitempty"`
	Floats     int    `json:"floats,omitempty"`
	Histograms int    `json:"histograms,omitempty"`
	Exemplars  int    `json:"exemplars,omitempty"`
	Metadata   int    `json:"metadata,omitempty"`
	MinT       *int64 `json:"mint,omitempty"` // of the samples
	MaxT       *int64 `json:"maxt,omitempty"`
}

func lineOf(f *frame.Frame) *frameLine {
	l := &frameLine{
		Sender: f.Sender, Seq: f.Seq, Defined: len(f.Series), Floats: len(f.Refs), Histograms: len(f.Histograms),
		Exemplars: len(f.Exemplars), Metadata: len(f.Metadata),
	}
	see := func(t int64) {
		if l.MinT == nil {
			l.MinT, l.MaxT = &t, &t
		}
		least, most := min(*l.MinT, t), max(*l.MaxT, t)
		l.MinT, l.MaxT = &least, &most
	}
	for _, t := range f.Times {
		see(t)
	}
	for _, h := range f.Histograms {
		see(h.T)
	}
	return l
}

func (l *frameLine) String() string {
	var b strings.Builder
	if l.Seq > 0 {
		fmt.Fprintf(&b, ", %d of sender %d", l.Seq, l.Sender)
	}
	for _, part := range []struct {
		n    int
		what string
	}{
		{l.Defined, "series defined"},
		{l.Floats, "floats"},
		{l.Histograms, "histograms"},
		{l.Exemplars, "exemplars"},
		{l.Metadata, "metadata"},
	} {
		if part.n > 0 {
			fmt.Fprintf(&b, ", %d %s", part.n, part.what)
		}
	}
	if l.MinT != nil {
		fmt.Fprintf(&b, " [%d, %d]", *l.MinT, *l.MaxT)
	}
	return b.String()
}

// sampleLine is one sample of a frame.
type sampleLine struct {
	Ref   string `json:"ref"`
	T     int64  `json:"t"`
	ST    int64  `json:"st,omitempty"`
	Value string `json:"value"`
}

func (s sampleLine) String() string {
	if s.ST != 0 {
		return fmt.Sprintf("  %s %d %s since %d", s.Ref, s.T, s.Value, s.ST)
	}
	return fmt.Sprintf("  %s %d %s", s.Ref, s.T, s.Value)
}

// printFrame prints the series that a frame defines, and its samples if they are wanted.
func (d *dump) printFrame(f *frame.Frame) error {
	for _, s := range f.Series {
		if err := d.print("series", seriesLine{Ref: refText(s.Ref), Labels: s.Labels.String()}); err != nil {
			return err
		}
	}
	if !d.samples {
		return nil
	}
	for i, ref := range f.Refs {
		line := sampleLine{Ref: refText(ref), T: f.Times[i], Value: strconv.FormatFloat(f.Values[i], 'g', -1, 64)}
		if len(f.Starts) > 0 {
			line.ST = f.Starts[i]
		}
		if err := d.print("sample", line); err != nil {
			return err
		}
	}
	for _, h := range f.Histograms {
		line := sampleLine{Ref: refText(h.Ref), T: h.T, ST: h.ST, Value: valueOf(series.Sample{H: h.H, FH: h.FH})}
		if err := d.print("sample", line); err != nil {
			return err
		}
	}
	return nil
}

// refText is a reference as its index and generation.
func refText(r series.Ref) string { return fmt.Sprintf("%d.%d", r.Index(), r.Generation()) }

func valueOf(s series.Sample) string {
	switch s.Kind() {
	case series.Histogram:
		return s.H.String()
	case series.FloatHistogram:
		return s.FH.String()
	}
	return strconv.FormatFloat(s.V, 'g', -1, 64)
}

func pointOf(s series.Sample) [2]any { return [2]any{s.T, valueOf(s)} }

// logSize is a file of the log with what it holds in sum.
type logSize struct {
	logFile
	Records int   `json:"records"`
	Bytes   int64 `json:"bytes"`
}

func (s logSize) String() string {
	return fmt.Sprintf("%s, %d records, %d bytes", s.logFile, s.Records, s.Bytes)
}

// weighLog prints a file of the log without its records.
func (d *dump) weighLog(path string) error {
	var size logSize
	var bad []error
	info, err := wal.DumpSegment(d.fs, path, func(e wal.Entry) error {
		if size.Bytes += e.Bytes; e.Damaged {
			bad = append(bad, fmt.Errorf("%d bytes at %d", e.Bytes, e.Offset))
		} else {
			size.Records++
		}
		return nil
	})
	if err != nil {
		return d.printDamage(d.fs.PathBase(path), err)
	}
	size.logFile = d.fileOf(path, info)
	if err := d.print("file", size); err != nil || len(bad) == 0 {
		return err
	}
	return d.printDamage(size.File, errors.Join(bad...))
}

func (d *dump) fileOf(path string, info wal.FileInfo) logFile {
	f := logFile{File: d.fs.PathBase(path), Kind: "segment", Number: info.Number, Previous: info.Prev, PrevBytes: info.PrevBytes}
	if info.Checkpoint {
		f.Kind = "checkpoint"
	}
	return f
}
