package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"sort"

	"github.com/klauspost/compress/s2"
)

// request is one encoded remote write request of the file.
type request struct {
	offset  int64
	size    int32
	samples int32
	conn    int32 // requests of one series all go over one connection, so they stay in order
}

// recording is what the targets are sent.
type recording struct {
	plan     plan
	file     *os.File
	requests []request
	samples  int64
	series   int64
	machines int64
	mint     int64 // ms, inclusive
	maxt     int64
	perSer   map[string]int64 // samples per instance, all of them
}

// plan says what to record.
type plan struct {
	series    int
	rounds    int   // scrapes
	interval  int64 // ms
	perSeries int   // samples of one series in a request
	end       int64 // ms, about the time of the last sample
	batch     int   // samples in a request
	conns     int
	seed      uint64
	churn     int // rounds between churns of one machine in fifty; 0 is none
}

func sortLabels(ls []label) {
	sort.Slice(ls, func(i, j int) bool { return ls[i].name < ls[j].name })
}

// record makes the requests of a plan and writes them to a file in dir.
func record(dir string, p plan) (_ *recording, err error) {
	file, err := os.CreateTemp(dir, "requests-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil { // The open file is all that is needed.
		return nil, err
	}
	f := newFleet(p.series, p.seed)
	r := &recording{plan: p, file: file, series: int64(len(f.series)), machines: int64(f.series[len(f.series)-1].machine) + 1, mint: math.MaxInt64, perSer: map[string]int64{}}
	e := &encoder{rec: r, out: bufio.NewWriterSize(file, 1<<20), plan: p}
	begin := p.end - int64(p.rounds)*p.interval
	block := make([][]sample, len(f.series))
	for round := 0; round < p.rounds; round++ {
		if p.churn > 0 && round > 0 && round%p.churn == 0 {
			r.series += f.churn(round/p.churn, 50)
		}
		f.step()
		for i, s := range f.series {
			block[i] = append(block[i], sample{begin + int64(round)*p.interval + e.offset(s, round), s.value})
		}
		if (round+1)%p.perSeries == 0 || round == p.rounds-1 {
			if err := e.flushBlock(f, block); err != nil {
				return nil, err
			}
		}
	}
	return r, e.out.Flush()
}

type sample struct {
	t int64
	v float64
}

type encoder struct {
	rec  *recording
	plan plan
	out  *bufio.Writer
	at   int64
	raw  []byte
	ts   []byte
	n    int32
	conn int32
}

// offset of a machine's scrape within the interval. One machine in five has a scraper whose
// timestamps waver by some milliseconds.
func (e *encoder) offset(s *source, round int) int64 {
	o := scrapeOffset(int64(s.machine), e.plan.interval)
	if s.machine%5 == 0 {
		o += int64(uint32(s.machine*31+round*2654435761)>>8) % maxWaver
	}
	return o
}

// maxWaver is above what a wavering scraper adds, in milliseconds.
const maxWaver = 11

func scrapeOffset(machine, interval int64) int64 { return machine * 7919 % interval }

func (e *encoder) flushBlock(f *fleet, block [][]sample) error {
	machine := -1
	for i, s := range f.series {
		if s.machine != machine {
			machine = s.machine
			// A machine's series keep to one connection.
			if conn := int32(machine / 8 % e.plan.conns); conn != e.conn {
				if err := e.send(); err != nil {
					return err
				}
				e.conn = conn
			}
		}
		e.add(s, block[i])
		block[i] = block[i][:0]
		if int(e.n) >= e.plan.batch {
			if err := e.send(); err != nil {
				return err
			}
		}
	}
	return e.send()
}

// add appends one TimeSeries of prometheus.WriteRequest: field 1 labels, field 2 samples.
func (e *encoder) add(s *source, samples []sample) {
	e.ts = append(e.ts[:0], s.wire...)
	for _, p := range samples {
		var b [32]byte
		n := append(b[:0], 1<<3|1)
		n = binary.LittleEndian.AppendUint64(n, math.Float64bits(p.v))
		n = append(n, 2<<3)
		n = binary.AppendUvarint(n, uint64(p.t))
		e.ts = append(e.ts, 2<<3|2, byte(len(n)))
		e.ts = append(e.ts, n...)
		e.rec.mint, e.rec.maxt = min(e.rec.mint, p.t), max(e.rec.maxt, p.t)
	}
	e.raw = append(e.raw, 1<<3|2)
	e.raw = binary.AppendUvarint(e.raw, uint64(len(e.ts)))
	e.raw = append(e.raw, e.ts...)
	e.n += int32(len(samples))
	e.rec.perSer[s.instance()] += int64(len(samples))
}

func (s *source) instance() string {
	for _, l := range s.labels {
		if l.name == "instance" {
			return l.value
		}
	}
	return ""
}

func (e *encoder) send() error {
	if e.n == 0 {
		return nil
	}
	body := s2.EncodeSnappy(nil, e.raw)
	if _, err := e.out.Write(body); err != nil {
		return err
	}
	e.rec.requests = append(e.rec.requests, request{offset: e.at, size: int32(len(body)), samples: e.n, conn: e.conn})
	e.rec.samples += int64(e.n)
	e.at += int64(len(body))
	e.raw, e.n = e.raw[:0], 0
	return nil
}

// appendWireLabels appends labels as fields of a TimeSeries.
func appendWireLabels(dst []byte, ls []label) []byte {
	for _, l := range ls {
		var b []byte
		b = append(b, 1<<3|2)
		b = binary.AppendUvarint(b, uint64(len(l.name)))
		b = append(b, l.name...)
		b = append(b, 2<<3|2)
		b = binary.AppendUvarint(b, uint64(len(l.value)))
		b = append(b, l.value...)
		dst = append(dst, 1<<3|2)
		dst = binary.AppendUvarint(dst, uint64(len(b)))
		dst = append(dst, b...)
	}
	return dst
}

// body reads the encoded request into buf.
func (r *recording) body(q request, buf []byte) ([]byte, error) {
	if cap(buf) < int(q.size) {
		buf = make([]byte, q.size)
	}
	buf = buf[:q.size]
	if _, err := r.file.ReadAt(buf, q.offset); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read request at %d: %w", q.offset, err)
	}
	return buf, nil
}
