package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Kind says what a payload is. It belongs to the caller, but for the reserved ones.
type Kind uint8

// The reserved kinds.
const (
	// kindEnd closes a checkpoint; its payload is the number of records before it, u64.
	kindEnd Kind = 0
	// kindPad fills a page of a segment; its payload is zeros.
	kindPad Kind = 0
	// KindCheckpoint is the kind of a checkpoint's records.
	KindCheckpoint Kind = 255
)

// The format's constants; doc.go has the diagram.
const (
	version = 2

	fileHeaderLen = 64
	secondHeader  = 4096 // where the header stands again
	firstRecord   = secondHeader + fileHeaderLen

	recordHeaderLen = 20
	maxPayload      = 64 << 20

	// maxSegment keeps distances within a segment, with a batch on top, within 32 bits.
	maxSegment = 1 << 30
)

var (
	fileMagic = [8]byte{'B', 'A', 'R', 'O', 'W', 'A', 'L', 0}
	// marker begins each record. It is no UTF-8 and no small number, so that it seldom occurs
	// elsewhere; when it does, the checksum tells.
	marker = [3]byte{0xF8, 0xB4, 0xFE}

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// A fileType tells a segment from a checkpoint.
type fileType uint8

const (
	segmentFile    fileType = 1
	checkpointFile fileType = 2
)

// A fileHeader begins each file.
type fileHeader struct {
	kind   fileType
	number uint64
	// salt is random: bytes of another file, also of one that had the same number, and bytes that
	// a client chose to look like a record, fail the checksum.
	salt uint64
	prev link
}

// A link says where the segment before ended, when this one was begun.
type link struct {
	number uint64 // 0: this is the first
	// Up to good every byte is within a whole record. From good to end lies what a crash tore,
	// perhaps with whole records in between. Nothing at or after end belongs to the log.
	good, end int64
}

// appendTo appends the header as it is at the start of a file, both copies of it.
func (h *fileHeader) appendTo(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, firstRecord)...)
	b := dst[at:]
	copy(b, fileMagic[:])
	b[8], b[9] = version, byte(h.kind)
	binary.LittleEndian.PutUint64(b[16:], h.number)
	binary.LittleEndian.PutUint64(b[24:], h.salt)
	binary.LittleEndian.PutUint64(b[32:], h.prev.number)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.prev.good))
	binary.LittleEndian.PutUint64(b[48:], uint64(h.prev.end))
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	copy(b[secondHeader:], b[:fileHeaderLen])
	return dst
}

// decodeFileHeader reads one copy of a header; ok is false if it is damaged. The error is for a
// whole header of a version that this program does not know.
func decodeFileHeader(b []byte) (h fileHeader, ok bool, err error) {
	if len(b) < fileHeaderLen || [8]byte(b[:8]) != fileMagic ||
		crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]) {
		return h, false, nil
	}
	if b[8] != version {
		return h, false, fmt.Errorf("format version %d is unknown: written by a newer program", b[8])
	}
	h = fileHeader{
		kind:   fileType(b[9]),
		number: binary.LittleEndian.Uint64(b[16:]),
		salt:   binary.LittleEndian.Uint64(b[24:]),
		prev: link{
			number: binary.LittleEndian.Uint64(b[32:]),
			good:   int64(binary.LittleEndian.Uint64(b[40:])),
			end:    int64(binary.LittleEndian.Uint64(b[48:])),
		},
	}
	return h, true, nil
}

// seed is what the checksums of a file's records begin with.
func (h *fileHeader) seed() uint32 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[0:], h.salt)
	binary.LittleEndian.PutUint64(b[8:], h.number)
	return crc32.Checksum(b[:], castagnoli)
}

// A recordHeader precedes each payload. It is made in two steps: open when the record is appended,
// seal when its place in a file is known.
type recordHeader struct {
	kind   Kind
	length uint32
	crc    uint32 // of the payload
	// unsynced is the distance back to the offset before which everything was on disk when the
	// record was written. It tells a torn tail from damage.
	unsynced uint32
}

// appendOpen appends the header of a record to come, without what depends on its place.
func appendOpen(dst []byte, kind Kind, payload []byte) []byte {
	dst = append(dst, marker[0], marker[1], marker[2], byte(kind))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(payload, castagnoli))
	return append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
}

// seal completes the header b of a record at offset in the file of seed.
func seal(b []byte, seed uint32, offset, synced int64) {
	binary.LittleEndian.PutUint32(b[12:], uint32(offset-synced))
	binary.LittleEndian.PutUint32(b[16:], headerSum(b, seed, offset))
}

// payloadLen is the length in an open or sealed header.
func payloadLen(b []byte) int { return int(binary.LittleEndian.Uint32(b[4:])) }

func headerSum(b []byte, seed uint32, offset int64) uint32 {
	var at [8]byte
	binary.LittleEndian.PutUint64(at[:], uint64(offset))
	return crc32.Update(crc32.Update(seed, castagnoli, at[:]), castagnoli, b[:16])
}

// decodeRecordHeader reads the header of a record at offset; ok is false if there is none.
func decodeRecordHeader(b []byte, seed uint32, offset int64) (h recordHeader, ok bool) {
	if len(b) < recordHeaderLen || [3]byte(b[:3]) != marker ||
		headerSum(b, seed, offset) != binary.LittleEndian.Uint32(b[16:]) {
		return h, false
	}
	h = recordHeader{
		kind:     Kind(b[3]),
		length:   binary.LittleEndian.Uint32(b[4:]),
		crc:      binary.LittleEndian.Uint32(b[8:]),
		unsynced: binary.LittleEndian.Uint32(b[12:]),
	}
	return h, h.length <= maxPayload
}
