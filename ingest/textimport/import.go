package textimport

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

const (
	// pieceBytes are read at once; no line may be longer.
	pieceBytes = 1 << 20
	// batchSamples are written at once.
	batchSamples = 5000
	// importMemory is what an import holds, whatever its length.
	importMemory = pieceBytes + batchSamples*256
)

// importer is one import. It is the Labeler of its batches.
type importer struct {
	next        ingest.Appender
	hash        *ingest.Hasher
	buf         []byte // of pieceBytes, for the pieces
	openMetrics bool
	now         int64
	extra       []series.Pair
	extraKey    ingest.Key

	batch  ingest.Batch
	source []sourceLine // per run
	result ingest.Result

	line  int64 // number of the line being read
	ended bool  // by # EOF
	kind  model.MetricType
	meta  frame.Metadata // of the family whose comments are being read
	// metaNew says that the batches do not have meta yet, or not all of it.
	metaNew bool
	pairs   []series.Pair
}

// sourceLine is the text of a run's series, and what it means depends on.
type sourceLine struct {
	text []byte
	line int64
	kind model.MetricType
}

// run reads the body to its end. What is written before an error is in the result.
func (im *importer) run(ctx context.Context, body io.Reader) error {
	buf := im.buf[:0]
	skipping := false // the rest of a line that is too long
	for {
		n, readErr := io.ReadFull(body, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		last := readErr != nil
		end := bytes.LastIndexByte(buf, '\n') + 1
		if last && (readErr == io.EOF || readErr == io.ErrUnexpectedEOF) {
			end, readErr = len(buf), nil // The last line feed may be missing.
		}
		piece := buf[:end]
		if skipping {
			if at := bytes.IndexByte(piece, '\n'); at >= 0 {
				piece, skipping = piece[at+1:], false
			} else {
				piece = nil
			}
		}
		if err := im.piece(ctx, piece); err != nil {
			return err
		}
		if last {
			return im.finish(readErr)
		}
		if end == 0 {
			if !skipping {
				im.line++
				im.refuse(ingest.LineTooLong, ingest.Counts{Samples: 1}, fmt.Errorf("the limit is %d bytes", pieceBytes))
			}
			skipping, end = true, len(buf)
		}
		buf = append(buf[:0], buf[end:]...)
	}
}

// piece parses whole lines and writes what they hold.
func (im *importer) piece(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		b = rest
		im.line++
		if err := im.one(line); err != nil {
			im.refuse(ingest.BadLine, ingest.Counts{Samples: 1}, err)
		}
		if im.batch.Samples() >= batchSamples {
			if err := im.flush(ctx); err != nil {
				return err
			}
		}
	}
	return im.flush(ctx)
}

// finish says what is wrong with the end of the body.
func (im *importer) finish(err error) error {
	if err == nil && im.openMetrics && !im.ended {
		return ingest.Errorf(ingest.BadMessage, "line %d: OpenMetrics must end with # EOF; what came before it is stored", im.line)
	}
	return err
}

func (im *importer) flush(ctx context.Context) error {
	im.describe()
	if len(im.batch.Runs)+len(im.batch.Metadata)+len(im.batch.Rejections) == 0 {
		return nil
	}
	im.batch.Source = im
	res, err := im.next.Append(ctx, &im.batch)
	if err == nil {
		im.result.Written.Add(res.Written)
		im.result.Rejections.Merge(res.Rejections)
	}
	im.batch.Reset()
	clear(im.source)
	im.source = im.source[:0]
	return err
}

func (im *importer) refuse(why ingest.Reason, c ingest.Counts, err error) {
	im.batch.Rejections.Add(why, c, func() string { return fmt.Sprintf("line %d: %s", im.line, err) })
}

// one takes in a line.
func (im *importer) one(line []byte) error {
	if im.ended {
		return errAfterEOF
	}
	if !im.openMetrics {
		line = bytes.TrimLeft(bytes.TrimSuffix(line, []byte{'\r'}), " \t")
		if len(line) == 0 {
			return nil
		}
	}
	if len(line) > 0 && line[0] == '#' {
		return im.comment(line)
	}
	return im.sample(line)
}

// sample takes in a line with a sample.
func (im *importer) sample(line []byte) error {
	end, err := seriesEnd(line, im.openMetrics)
	if err != nil {
		return err
	}
	s, err := parseSample(line[end:], im.openMetrics)
	if err != nil {
		return err
	}
	if !s.timed {
		s.t = im.now
	}
	b := &im.batch
	at := uint32(len(b.Times))
	run := ingest.Run{Key: im.key(line[:end]), Floats: ingest.Span{From: at, To: at + 1}}
	run.Exemplars.From = uint32(len(b.Exemplars))
	b.Times, b.Values = append(b.Times, s.t), append(b.Values, s.v)
	im.source = append(im.source, sourceLine{text: line[:end], line: im.line, kind: im.kind})
	if len(s.exemplar) > 0 {
		im.exemplar(&s)
	}
	run.Exemplars.To = uint32(len(b.Exemplars))
	run.Histograms = ingest.Span{}
	b.Runs = append(b.Runs, run)
	return nil
}

// key of a series by its text, the labels added to it, and the type that decides how some of its
// labels are written.
func (im *importer) key(text []byte) ingest.Key {
	kind := ingest.Key{}
	if normalised(im.kind) != "" {
		kind.Hi, kind.Lo = uint64(im.kind[0]), uint64(im.kind[0])
	}
	return im.hash.Mix(im.hash.Mix(im.hash.Start(), im.hash.Sum(text), im.extraKey), kind, im.extraKey)
}

// exemplar adds the exemplar of a sample, or notes why it is refused.
func (im *importer) exemplar(s *sample) {
	pairs, err := appendLabels(im.pairs[:0], s.exemplar, im.openMetrics, nil)
	im.pairs = pairs
	why, runes, size := ingest.BadExemplar, 0, 0
	for _, p := range pairs {
		runes += utf8.RuneCount(p.Name) + utf8.RuneCount(p.Value)
		size += len(p.Name) + len(p.Value) + 4
		if err == nil && !(utf8.Valid(p.Name) && utf8.Valid(p.Value)) {
			err = errUTF8
		}
	}
	e := frame.Exemplar{T: s.exemplarT, V: s.exemplarV}
	if !s.exemplarTimed {
		e.T = s.t
	}
	switch {
	case err != nil:
	case runes > exemplar.ExemplarMaxLabelSetLength:
		why, err = ingest.ExemplarTooLong, fmt.Errorf("%d characters", runes)
	default:
		e.Labels, err = series.FromPairs(make(series.Labels, 0, size), pairs)
	}
	if err != nil {
		im.refuse(why, ingest.Counts{Exemplars: 1}, err)
		return
	}
	im.batch.Exemplars = append(im.batch.Exemplars, e)
}

// comment takes in a line that begins with #.
func (im *importer) comment(line []byte) error {
	word, name, text, err := parseComment(line, im.openMetrics)
	if err != nil || word == "" {
		return err
	}
	if word == "EOF" {
		im.ended = true
		return nil
	}
	kind := model.MetricType("")
	switch word {
	case "TYPE":
		if kind, err = metricType(text, im.openMetrics); err != nil {
			return err
		}
		im.kind = kind
	case "HELP":
		if !utf8.Valid(text) {
			return errUTF8
		}
	case "UNIT":
		if n := len(name) - len(text); len(text) > 0 && (n < 1 || !bytes.HasSuffix(name, text) || name[n-1] != '_') {
			return fmt.Errorf("unit %q is no suffix of %q", text, name)
		}
	}
	if string(name) != im.meta.Metric {
		im.describe()
		im.meta = frame.Metadata{Metric: string(name), Type: string(model.MetricTypeUnknown)}
	}
	im.metaNew = true
	switch word {
	case "TYPE":
		im.meta.Type = string(kind)
	case "HELP":
		im.meta.Help = unescapeHelp(string(text), im.openMetrics)
	case "UNIT":
		im.meta.Unit = string(text)
	}
	return nil
}

// describe adds what is known of the family to the batch.
func (im *importer) describe() {
	if im.metaNew {
		im.batch.Metadata = append(im.batch.Metadata, im.meta)
		im.metaNew = false
	}
}

// AppendPairs implements ingest.Labeler.
func (im *importer) AppendPairs(dst []series.Pair, run int) ([]series.Pair, error) {
	src := &im.source[run]
	start := len(dst)
	name, at := metricName(src.text)
	if name != nil {
		dst = append(dst, series.Pair{Name: []byte(model.MetricNameLabel), Value: name})
	}
	var quoted []byte
	dst, err := appendLabels(dst, bytes.TrimLeft(src.text[at:], " \t"), im.openMetrics, &quoted)
	if err == nil && quoted != nil {
		if name != nil {
			err = errTwoNames
		}
		dst = append(dst, series.Pair{Name: []byte(model.MetricNameLabel), Value: quoted})
	}
	if err != nil {
		return dst, ingest.Errorf(ingest.BadLine, "line %d: %s", src.line, err)
	}
	normalise(dst[start:], src.kind)
	for _, e := range im.extra {
		dst = append(drop(dst, start, e.Name), e)
	}
	return dst, nil
}

// drop removes the label from dst[start:].
func drop(dst []series.Pair, start int, name []byte) []series.Pair {
	kept := dst[:start]
	for _, p := range dst[start:] {
		if !bytes.Equal(p.Name, name) {
			kept = append(kept, p)
		}
	}
	return kept
}

// normalised is the label whose values are numbers under a metric type.
func normalised(kind model.MetricType) string {
	switch kind {
	case model.MetricTypeHistogram:
		return model.BucketLabel
	case model.MetricTypeSummary:
		return model.QuantileLabel
	}
	return ""
}

// normalise writes such numbers as OpenMetrics does, so that le="1" and le="1.0" are one series.
func normalise(pairs []series.Pair, kind model.MetricType) {
	name := normalised(kind)
	if name == "" {
		return
	}
	for i, p := range pairs {
		if string(p.Name) == name {
			if f, err := strconv.ParseFloat(string(p.Value), 64); err == nil {
				pairs[i].Value = []byte(labels.FormatOpenMetricsFloat(f))
			}
		}
	}
}

// seconds turns an OpenMetrics timestamp into milliseconds.
func seconds(b []byte) (int64, error) {
	f, err := parseFloat(b)
	if err != nil {
		return 0, err
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("timestamp %q", b)
	}
	return int64(max(-math.MaxInt64, min(f*1000, math.MaxInt64/2))), nil
}

func unescapeHelp(s string, openMetrics bool) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	if openMetrics {
		return unescapeValue.Replace(s)
	}
	return unescapeText.Replace(s)
}

var (
	unescapeValue = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\n`, "\n")
	unescapeText  = strings.NewReplacer(`\\`, `\`, `\n`, "\n")
)
