package wal

import (
	"bytes"
	"hash/crc32"
	"io"
)

// A record as it was read. The payload is valid until the scanner moves on.
type record struct {
	offset  int64
	synced  int64 // before this offset all was on disk when the record was written
	kind    Kind
	payload []byte
}

func (r *record) end() int64 { return r.offset + recordHeaderLen + int64(len(r.payload)) }

// window is how much a scanner reads at once. It grows for a larger record.
const window = 1 << 20

// badPage is what a scanner gives up when the disk can't read.
const badPage = 4096

// A scanner reads the records of a file in order, through a window that slides over it. What it
// can't read it skips: a record whose header is whole but whose payload is not, by its length;
// anything else up to the next header that is whole. A header vouches for itself by a checksum
// over its offset and the file's salt, so that nothing within a payload passes for one.
type scanner struct {
	r    io.ReaderAt
	seed uint32
	end  int64 // nothing is read from here on

	pos  int64  // where the next record should be
	buf  []byte // bytes base..base+len(buf) of the file
	base int64
	err  error // the first error of the disk; what it hid reads as zeros
}

// next returns the next whole record and how many bytes before it were skipped. At the end ok is
// false, and skipped is what no record follows.
func (s *scanner) next() (rec record, skipped int64, ok bool) {
	start := s.pos
	for s.pos < s.end {
		h, whole := decodeRecordHeader(s.bytes(s.pos, recordHeaderLen), s.seed, s.pos)
		if !whole {
			s.seek(s.pos + 1)
			continue
		}
		size := recordHeaderLen + int(h.length)
		if s.pos+int64(size) > s.end {
			s.pos = s.end
			break
		}
		payload := s.bytes(s.pos, size)[recordHeaderLen:]
		rec = record{offset: s.pos, synced: s.pos - int64(h.unsynced), kind: h.kind, payload: payload}
		s.pos += int64(size)
		if crc32.Checksum(payload, castagnoli) == h.crc {
			return rec, rec.offset - start, true
		}
	}
	return record{}, s.end - start, false
}

// seek moves to the first marker at or after from, or to the end.
func (s *scanner) seek(from int64) {
	for s.pos = from; s.pos < s.end; {
		b := s.bytes(s.pos, window/2)
		if i := bytes.Index(b, marker[:]); i >= 0 {
			s.pos += int64(i)
			return
		}
		if s.pos+int64(len(b)) >= s.end {
			break
		}
		s.pos += int64(len(b) - len(marker) + 1)
	}
	s.pos = s.end
}

// bytes returns n bytes of the file from an offset on, or fewer if they would pass the end. They
// are valid until the next call.
func (s *scanner) bytes(from int64, n int) []byte {
	n = int(min(int64(n), s.end-from))
	if from < s.base || from > s.base+int64(len(s.buf)) {
		s.base, s.buf = from, s.buf[:0]
	}
	if at := int(from - s.base); len(s.buf)-at < n {
		s.buf = append(s.buf[:0], s.buf[at:]...)
		s.base = from
		s.fill(max(n, window))
	}
	at := from - s.base
	return s.buf[at : at+int64(n)]
}

// fill reads until the window holds n bytes or the end.
func (s *scanner) fill(n int) {
	n = int(min(int64(n), s.end-s.base))
	if cap(s.buf) < n {
		s.buf = append(make([]byte, 0, n), s.buf...)
	}
	for len(s.buf) < n {
		got, err := s.r.ReadAt(s.buf[len(s.buf):n], s.base+int64(len(s.buf)))
		s.buf = s.buf[:len(s.buf)+got]
		if err == nil || len(s.buf) == n {
			continue
		}
		if s.err == nil {
			s.err = err
		}
		bad := badPage - int(s.base+int64(len(s.buf)))%badPage
		bad = min(bad, n-len(s.buf))
		clear(s.buf[len(s.buf) : len(s.buf)+bad])
		s.buf = s.buf[:len(s.buf)+bad]
	}
}
