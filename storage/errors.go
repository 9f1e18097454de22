package storage

import "errors"

// Errors that callers tell apart.
var (
	// ErrFull refuses a write because the disk is, or is nearly, full. It passes when there is room.
	ErrFull = errors.New("disk is full")
	// ErrFailed refuses every write after the log could not be synced: what the disk holds is
	// unknown from then on, and only a restart can tell.
	ErrFailed = errors.New("write-ahead log has failed")
	// ErrStalled refuses a write because the disk does not keep up with the log. It may pass.
	ErrStalled = errors.New("write-ahead log is stalled")
	// ErrClosed refuses calls after Close.
	ErrClosed = errors.New("storage is closed")
	// ErrLocked refuses to open a data directory that another process uses.
	ErrLocked = errors.New("data directory is in use by another process")
)
