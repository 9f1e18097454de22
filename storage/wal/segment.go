package wal

import (
	"errors"
	"io"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// category names the log's writes to the disk's statistics.
const category = vfs.DiskWriteCategory("barograph-wal")

// pieceBytes is how much is handed to the operating system at once.
const pieceBytes = 256 << 10

// A writer puts records into a new file. Bytes go through a piece of its own, because a vfs.File
// may scribble over what it is given to write, and the records must survive a write that fails.
type writer struct {
	file   vfs.File
	number uint64
	seed   uint32
	size   int64 // where the next record begins
	synced int64 // all before it is on disk
	piece  []byte
	at     int64 // size, once the piece is written
}

// create makes the file with its header, which is not yet on disk.
func create(fs vfs.FS, path string, h fileHeader, piece []byte) (*writer, error) {
	h.salt = rand.Uint64()
	f, err := fs.Create(path, category)
	if err != nil {
		return nil, err
	}
	w := &writer{file: f, number: h.number, seed: h.seed(), piece: piece[:0]}
	w.piece = h.appendTo(w.piece)
	w.at = int64(len(w.piece))
	if err := w.flush(); err != nil {
		return nil, errors.Join(err, f.Close(), fs.Remove(path))
	}
	w.size = w.at
	return w, nil
}

// write adds the open records in buf. On error size stands where it was, and what is in the file
// behind it is unknown.
func (w *writer) write(buf []byte) error {
	for len(buf) > 0 {
		n := recordHeaderLen + payloadLen(buf)
		if err := w.put(buf[:n]); err != nil {
			w.piece = w.piece[:0]
			return err
		}
		buf = buf[n:]
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.size = w.at
	return nil
}

// put copies one record to the piece, sealing it there.
func (w *writer) put(rec []byte) error {
	if len(w.piece)+recordHeaderLen > pieceBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	header := len(w.piece)
	w.piece = append(w.piece, rec[:recordHeaderLen]...)
	seal(w.piece[header:], w.seed, w.at, w.synced)
	w.at += int64(len(rec))
	for rest := rec[recordHeaderLen:]; ; {
		n := min(len(rest), pieceBytes-len(w.piece))
		w.piece = append(w.piece, rest[:n]...)
		if rest = rest[n:]; len(rest) == 0 {
			return nil
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
}

// flush hands the piece to the operating system.
func (w *writer) flush() error {
	if len(w.piece) == 0 {
		return nil
	}
	n, err := w.file.Write(w.piece)
	if err == nil && n < len(w.piece) {
		err = io.ErrShortWrite
	}
	w.piece = w.piece[:0]
	return err
}

// sync makes what was written durable.
func (w *writer) sync() error {
	if w.synced == w.size {
		return nil
	}
	if err := w.file.SyncData(); err != nil {
		return err
	}
	w.synced = w.size
	return nil
}

// end says where the file ends, for the header of the next one.
func (w *writer) end() link { return link{number: w.number, good: w.size, end: w.size} }
