package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// witness is a file that knows how many writes the store has acknowledged. Pebble takes the first
// record of its log that is not whole for the end, as power loss leaves it, and goes on with what is
// before: one flipped bit could cost a vote, and nobody would know.
//
// The number is written after the write itself and before it is acknowledged, to each of two places
// in turn. So the store never has made fewer writes than the witness says, unless it has lost some,
// and a torn write of the witness harms one place only.
type witness struct {
	file vfs.File
	last uint64 // the number it has
}

const (
	witnessMagic = "BAROWIT\x01" // The last byte is the version.
	witnessBytes = 24            // magic, number and checksum
	witnessStep  = 4096          // from one place to the other, for them to be on two pages
)

func appendWitness(dst []byte, n uint64) []byte {
	from := len(dst)
	dst = append(dst, witnessMagic...)
	dst = binary.LittleEndian.AppendUint64(dst, n)
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[from:]))
}

func decodeWitness(b []byte) (uint64, error) {
	switch {
	case len(b) < witnessBytes:
		return 0, errShort
	case string(b[:8]) != witnessMagic:
		return 0, fmt.Errorf("magic %x", b[:8])
	case binary.LittleEndian.Uint64(b[16:]) != xxhash.Sum64(b[:16]):
		return 0, errors.New("wrong checksum")
	}
	return binary.LittleEndian.Uint64(b[8:]), nil
}

// openWitness opens the witness of a store in dir that has made writes, or makes it.
func openWitness(fs vfs.FS, dir string, writes uint64) (*witness, error) {
	path := fs.PathJoin(dir, "witness")
	_, err := fs.Stat(path) // For opening it to write would create it.
	switch {
	case errors.Is(err, os.ErrNotExist) && writes == 0:
		return &witness{}, nil // The first write makes it.
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %s is missing", ErrDamaged, path)
	case err != nil:
		return nil, fmt.Errorf("look for %s: %w", path, err)
	}
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	w := &witness{file: f}
	var errs []error
	for place := range int64(2) {
		var b [witnessBytes]byte
		n, err := f.ReadAt(b[:], place*witnessStep)
		if errors.Is(err, io.EOF) {
			err = nil // Too few bytes are told below.
		}
		var number uint64
		if err == nil {
			number, err = decodeWitness(b[:n])
		}
		errs = append(errs, err)
		w.last = max(w.last, number)
	}
	if errs[0] != nil && errs[1] != nil && writes > 1 {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrDamaged, path, errs[1]), f.Close())
	}
	if writes < w.last {
		return nil, errors.Join(fmt.Errorf("%w: it has %d writes of %d", ErrDamaged, writes, w.last), f.Close())
	}
	return w, nil
}

// create makes the file before the store's first write, for it to be there afterwards.
func (w *witness) create(fs vfs.FS, dir string) error {
	if w.file != nil {
		return nil
	}
	f, err := fs.Create(fs.PathJoin(dir, "witness"), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w.file = f
	return errors.Join(f.Sync(), syncDir(fs, dir))
}

// set keeps the number of a write, synced.
func (w *witness) set(n uint64) error {
	if _, err := w.file.WriteAt(appendWitness(nil, n), int64(n%2)*witnessStep); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.last = n
	return nil
}

func (w *witness) close() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}
