package wal

import "github.com/cockroachdb/pebble/v2/vfs"

// An Entry is a run of bytes of a file: a record, or what could not be read.
type Entry struct {
	Offset  int64
	Bytes   int64 // with the header
	Damaged bool  // Kind and Payload are unknown
	Kind    Kind  // 0 ends a checkpoint or fills a page of a segment
	Payload []byte
}

// A FileInfo is what a file says of itself.
type FileInfo struct {
	Checkpoint bool // else it is a segment
	Number     uint64
	Prev       uint64 // the segment before; 0 for none
	PrevBytes  int64  // of which were part of the log
	Readable   bool   // the header is; without it no record can be read
}

// DumpSegment calls fn for each entry of a segment or checkpoint, in order, reading it as Replay
// does. The payload is valid during the call.
func DumpSegment(fs vfs.FS, path string, fn func(Entry) error) (FileInfo, error) {
	f, err := inspect(fs, path)
	if err != nil {
		return FileInfo{}, err
	}
	info := FileInfo{
		Checkpoint: f.header.kind == checkpointFile, Number: f.header.number, Readable: f.whole,
		Prev: f.header.prev.number, PrevBytes: f.header.prev.end,
	}
	if !f.whole {
		return info, fn(Entry{Bytes: f.size, Damaged: true})
	}
	at := int64(firstRecord)
	var buf []byte
	_, err = scan(fs, f, f.size, &buf, func(rec record) error {
		if rec.offset > at {
			if err := fn(Entry{Offset: at, Bytes: rec.offset - at, Damaged: true}); err != nil {
				return err
			}
		}
		at = rec.end()
		return fn(Entry{Offset: rec.offset, Bytes: at - rec.offset, Kind: rec.kind, Payload: rec.payload})
	})
	if err == nil && at < f.size {
		err = fn(Entry{Offset: at, Bytes: f.size - at, Damaged: true})
	}
	return info, err
}
