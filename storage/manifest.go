package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// errManifest marks damage to the file that names the store's tables.
var errManifest = errors.New("the list of the store's tables is damaged")

// maxManifestBytes is far above the size at which Pebble begins a new one.
const maxManifestBytes = 256 << 20

// checkManifest looks at the store's manifest before Pebble does. To Pebble the first record of it
// that is not whole is the end, as power loss leaves it, and tables that are not named before that
// are taken for leftovers and removed: one flipped bit would cost everything since. Each record is
// synced before the next is written, though, so what power loss leaves is not followed by the
// beginning of another; then it is damage, and opening the store would make it worse. So it is if a
// record is whole but for one bit, and where there are tables but nothing says which manifest is
// theirs.
//
// It returns how many bytes at the end are not whole: records that were never acknowledged unless
// the disk has lost what it had synced.
func checkManifest(fs vfs.FS, dir string) (torn int64, err error) {
	name, err := atomicfs.ReadMarker(fs, dir, "manifest")
	if err != nil {
		return 0, err
	}
	if name == "" {
		return 0, refuseTables(fs, dir)
	}
	path := fs.PathJoin(dir, name)
	b, err := readAtMost(fs, path, maxManifestBytes)
	if err != nil {
		return 0, err
	}
	whole, bad := wholeRecords(b)
	if again := nextRecord(b, bad+1); again >= 0 {
		return 0, fmt.Errorf("%w: %s: bytes %d to %d", errManifest, path, bad, again)
	}
	if flippedBit(b, bad) {
		return 0, fmt.Errorf("%w: %s: a bit of the chunk at %d has flipped", errManifest, path, bad)
	}
	return int64(len(b) - whole), nil
}

// refuseTables returns an error if there are tables.
func refuseTables(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			return fmt.Errorf("%w: %s has tables and no marker of a manifest", errManifest, dir)
		}
	}
	return nil
}

func readAtMost(fs vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, err
}

// Pebble's manifest is a log in LevelDB's format. A record is cut into chunks so that none crosses
// a border of 32 KiB; before such a border zeros fill what is too short for a header.
//
//	chunk = checksum u32 | length u16 | kind u8 | bytes     kind: 1 whole, 2 first, 3 middle, 4 last
const (
	manifestBlock = 32 << 10
	chunkHeader   = 7
	wholeChunk    = 1
	firstChunk    = 2
	lastChunk     = 4
)

// chunkAt returns the end and kind of the chunk at an offset; ok is false if there is none.
func chunkAt(b []byte, at int) (end int, kind byte, ok bool) {
	if manifestBlock-at%manifestBlock < chunkHeader || len(b)-at < chunkHeader {
		return 0, 0, false
	}
	kind = b[at+6]
	end = at + chunkHeader + int(binary.LittleEndian.Uint16(b[at+4:]))
	if kind < wholeChunk || kind > lastChunk || end > len(b) || (end-1)/manifestBlock != at/manifestBlock {
		return 0, 0, false
	}
	sum := crc32.Checksum(b[at+6:end], crc32.MakeTable(crc32.Castagnoli))
	return end, kind, (sum>>15|sum<<17)+0xa282ead8 == binary.LittleEndian.Uint32(b[at:])
}

// flippedBit reports whether there would be a chunk at an offset if one bit were another.
func flippedBit(b []byte, at int) bool {
	for i := at; i < min(len(b), at+manifestBlock); i++ {
		for bit := range 8 {
			b[i] ^= 1 << bit
			_, _, ok := chunkAt(b, at)
			b[i] ^= 1 << bit
			if ok {
				return true
			}
		}
	}
	return false
}

// wholeRecords returns where the records that are whole, from the first on, end, and where the first
// chunk that is not would be.
func wholeRecords(b []byte) (end, bad int) {
	at := 0
	for at < len(b) {
		if left := manifestBlock - at%manifestBlock; left < chunkHeader {
			at += left
			continue
		}
		next, kind, ok := chunkAt(b, at)
		if !ok {
			break
		}
		if at = next; kind == wholeChunk || kind == lastChunk {
			end = at
		}
	}
	return end, at
}

// nextRecord returns where a record begins at or after an offset, -1 if none does.
func nextRecord(b []byte, from int) int {
	for at := from; at < len(b); at++ {
		if _, kind, ok := chunkAt(b, at); ok && kind <= firstChunk {
			return at
		}
	}
	return -1
}
