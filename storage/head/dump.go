package head

import (
	"fmt"

	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// A Record is a record of a checkpoint as Dump reads it: a generation, entries of series, or a frame
// of exemplars and metadata.
type Record struct {
	Generation uint64
	Series     []RecordSeries
	Frame      *frame.Frame
}

// RecordSeries is an entry of a series; one with many chunks may have several.
type RecordSeries struct {
	Ref    series.Ref
	Labels series.Labels
	LastT  int64         // of the samples in order
	Closed []chunk.Chunk // by start
	Open   chunk.Chunk   // without samples if there is none
}

// DumpRecord decodes a record that Checkpoint emitted. It keeps the record.
func DumpRecord(record []byte) (Record, error) {
	if len(record) < recordHeader || record[0] != recordVersion {
		return Record{}, fmt.Errorf("%w: %d bytes of unknown version", errRecord, len(record))
	}
	var r Record
	switch body := record[recordHeader:]; record[1] {
	case recordGeneration:
		gen, ok := cutUvarint(&body)
		if !ok || len(body) > 0 {
			return r, fmt.Errorf("%w: generation %d", errRecord, gen)
		}
		r.Generation = gen
	case recordSeries:
		for len(body) > 0 {
			var chunks []chunk.Chunk
			e, rest, err := cutEntry(&chunks, body)
			if err != nil {
				return r, err
			}
			r.Series = append(r.Series, RecordSeries{
				Ref: e.ref, Labels: e.labels, LastT: e.lastT, Closed: e.closed, Open: e.open,
			})
			body = rest
		}
	case recordFrame:
		r.Frame = &frame.Frame{}
		if err := frame.Decode(r.Frame, body); err != nil {
			return r, fmt.Errorf("%w: %w", errRecord, err)
		}
	default:
		return r, fmt.Errorf("%w: kind %d", errRecord, record[1])
	}
	return r, nil
}
