package consensus

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// The store is small and read at start, so it gets little memory.
	storeCacheBytes    = 1 << 20
	storeMemTableBytes = 1 << 20
	storeManifestBytes = 1 << 20
	storeOpenFiles     = 64
)

func pebbleOptions(fs vfs.FS, log *slog.Logger) *pebble.Options {
	return &pebble.Options{
		FS:                  markerFS{fs},
		CacheSize:           storeCacheBytes,
		FormatMajorVersion:  pebble.FormatNewest,
		MemTableSize:        storeMemTableBytes,
		MaxManifestFileSize: storeManifestBytes,
		MaxOpenFiles:        storeOpenFiles,
		Logger:              pebbleLogger{log},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { log.Error("background work of the store of consensus failed", "err", err) },
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				log.Error("the store of consensus is damaged", "path", i.Path, "err", i.Details)
			},
			DiskSlow: func(i pebble.DiskSlowInfo) { log.Warn("the disk of consensus is slow", "what", i.String()) },
		},
	}
}

// fatal is what Pebble cannot go on from. A panic with it ends in store.commit when it comes from a
// write, and else ends the process: the store's list of tables could not be written.
type fatal struct{ error }

type pebbleLogger struct{ log *slog.Logger }

func (pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("error in the store of consensus", "err", fmt.Sprintf(format, args...))
}

func (pebbleLogger) Fatalf(format string, args ...any) { panic(fatal{fmt.Errorf(format, args...)}) }

// markerFS syncs a folder before a marker is created in it. Pebble names its newest manifest by
// creating a marker, and syncs the folder only after that: when the power goes in between, the
// marker may be there and the manifest it names not, and then the store opens no more.
type markerFS struct{ vfs.FS }

func (fs markerFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(fs.PathBase(name), "marker.") {
		if err := syncDir(fs.FS, fs.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return fs.FS.Create(name, category)
}

// Unwrap returns the FS below.
func (fs markerFS) Unwrap() vfs.FS { return fs.FS }

func syncDir(fs vfs.FS, dir string) error {
	f, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
