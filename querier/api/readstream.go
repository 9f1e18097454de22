package api

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/http"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// frameWriter writes the frames of a streamed remote-read answer:
//
//	frame = uvarint len(message) | crc32 (Castagnoli) of message, u32 big endian | message
//
// A message is a prometheus.ChunkedReadResponse. A series may take several frames; a frame holds
// one series.
type frameWriter struct {
	w   http.ResponseWriter
	buf []byte
	// begun says that something was sent: errors cannot be told any more.
	begun bool
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (f *frameWriter) write(msg *prompb.ChunkedReadResponse) error {
	size := msg.Size()
	f.buf = binary.AppendUvarint(f.buf[:0], uint64(size))
	from := len(f.buf) + crc32.Size
	if need := from + size; need > cap(f.buf) {
		f.buf = append(make([]byte, 0, need+need/4), f.buf...)
	}
	f.buf = f.buf[:from+size]
	if _, err := msg.MarshalToSizedBuffer(f.buf[from:]); err != nil {
		return err
	}
	binary.BigEndian.PutUint32(f.buf[from-crc32.Size:], crc32.Checksum(f.buf[from:], castagnoli))
	f.begun = true
	hurry(f.w)
	_, err := f.w.Write(f.buf)
	return err
}

// streamChunks answers with frames. An error after the first of them cuts the connection, since
// an answer that merely ended would look complete.
func (a *API) streamChunks(ctx context.Context, w http.ResponseWriter, queries []*prompb.Query, external labels.Labels) error {
	w.Header().Set("Content-Type", "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
	f := &frameWriter{w: w}
	for i, q := range queries {
		if err := a.queryChunks(ctx, f, int64(i), q, external); err != nil {
			if f.begun {
				a.opts.Logger.Error("streamed remote read was cut off", "query", i, "err", err)
				panic(http.ErrAbortHandler)
			}
			return err
		}
	}
	return nil
}

func (a *API) queryChunks(ctx context.Context, f *frameWriter, index int64, query *prompb.Query, external labels.Labels) error {
	ms, err := a.readMatchers(ctx, query.Matchers, external)
	if err != nil {
		return err
	}
	q, err := a.opts.Engine.Queryable().ChunkQuerier(query.StartTimestampMs, query.EndTimestampMs)
	if err != nil {
		return err
	}
	defer func() { _ = q.Close() }()
	// Clients join the streams of several servers, for which they must be sorted.
	set := q.Select(ctx, true, readHints(query), ms...)
	var it chunks.Iterator
	for set.Next() {
		s := set.At()
		it = s.Iterator(it)
		series := prompb.ChunkedSeries{Labels: wireLabels(s.Labels(), external)}
		if err := writeSeries(f, index, series, it, a.opts.MaxReadFrameBytes); err != nil {
			return err
		}
	}
	return set.Err()
}

// writeSeries writes the chunks of one series in frames of at least one chunk and, but for the
// last chunk of each, at most maxBytes.
func writeSeries(f *frameWriter, index int64, series prompb.ChunkedSeries, it chunks.Iterator, maxBytes int) error {
	size := series.Size()
	left := maxBytes - size
	flush := func() error {
		if len(series.Chunks) == 0 {
			return nil
		}
		err := f.write(&prompb.ChunkedReadResponse{ChunkedSeries: []*prompb.ChunkedSeries{&series}, QueryIndex: index})
		series.Chunks, left = series.Chunks[:0], maxBytes-size
		return err
	}
	for it.Next() {
		meta := it.At()
		c, err := wireChunk(meta)
		if err != nil {
			return err
		}
		series.Chunks = append(series.Chunks, c)
		if left -= c.Size(); left > 0 {
			continue
		}
		if err := flush(); err != nil {
			return err
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	return flush()
}

// wireEncodings says how the wire calls the encodings. The numbers are the same today, which
// nobody promises.
var wireEncodings = map[chunkenc.Encoding]prompb.Chunk_Encoding{
	chunkenc.EncXOR:              prompb.Chunk_XOR,
	chunkenc.EncHistogram:        prompb.Chunk_HISTOGRAM,
	chunkenc.EncFloatHistogram:   prompb.Chunk_FLOAT_HISTOGRAM,
	chunkenc.EncXOR2:             prompb.Chunk_XOR2,
	chunkenc.EncHistogramST:      prompb.Chunk_HISTOGRAM_ST,
	chunkenc.EncFloatHistogramST: prompb.Chunk_FLOAT_HISTOGRAM_ST,
}

func wireChunk(m chunks.Meta) (prompb.Chunk, error) {
	if m.Chunk == nil {
		return prompb.Chunk{}, fmt.Errorf("chunk of [%d, %d] has no data", m.MinTime, m.MaxTime)
	}
	enc, known := wireEncodings[m.Chunk.Encoding()]
	if !known {
		return prompb.Chunk{}, fmt.Errorf("chunks of encoding %s cannot be sent", m.Chunk.Encoding())
	}
	return prompb.Chunk{MinTimeMs: m.MinTime, MaxTimeMs: m.MaxTime, Type: enc, Data: m.Chunk.Bytes()}, nil
}
