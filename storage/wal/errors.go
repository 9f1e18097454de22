package wal

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Errors that callers tell apart.
var (
	// ErrFull is returned while the disk takes no more bytes. It passes by itself.
	ErrFull = errors.New("disk of the write-ahead log is full")
	// ErrFailed is returned for ever after a write or sync went wrong in a way that leaves unknown
	// what is on disk. Only a restart, which reads what is there, helps.
	ErrFailed = errors.New("write-ahead log failed")
	// ErrStalled is returned by Append when the buffer stayed full for Options.StallTimeout.
	ErrStalled = errors.New("disk of the write-ahead log is stalled")
	// ErrTooLarge is returned by Append for a payload above Options.MaxRecordBytes.
	ErrTooLarge = errors.New("record too large for the write-ahead log")
	// ErrClosed is returned after Run has ended or Close was called.
	ErrClosed = errors.New("write-ahead log is closed")
)

// passing says whether the disk may work again without help after err: it is full (also by quota),
// read-only, or the process is out of file descriptors.
func passing(err error) bool {
	if vfs.IsNoSpaceError(err) || errors.Is(err, io.ErrShortWrite) {
		return true
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EMFILE, syscall.ENFILE:
		return true
	}
	return false
}

// mark turns an error of the disk into ErrFull or ErrFailed. A sync is never marked by this
// function: whatever its error, it is ErrFailed.
func mark(err error) error {
	if passing(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return failed(err)
}

func failed(err error) error { return fmt.Errorf("%w: %w", ErrFailed, err) }
