package block

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// blockBytes is the size of Pebble's own blocks before compression. Blocks of twice the size
	// save half a percent and double the time of a select whose series lie apart.
	blockBytes = 16 << 10
	// indexBlockBytes is the size of the blocks in which Pebble finds its blocks.
	indexBlockBytes = 64 << 10
	// manifestBytes is when Pebble writes its list of tables anew; at start all of it is looked at.
	manifestBytes = 4 << 20
	// memTableBytes: only the node's own facts are written row by row.
	memTableBytes = 1 << 20
)

// compression of all tables: zstd at level 1; level 3 saves one percent for half as much time
// again. Blocks of Gorilla chunks often shrink by less than Pebble's own profiles ask for, hence
// the low bar.
var compression = func() *sstable.CompressionProfile {
	p := *sstable.BalancedCompression
	p.Name = "Barograph"
	p.OtherBlocks = p.DataBlocks
	p.MinReductionPercent = 3
	p.AdaptiveReductionCutoffPercent = 0
	return &p
}()

// tableOptions of the tables that a Builder writes. There are no filters: the index says which
// rows exist.
func tableOptions(format sstable.TableFormat) sstable.WriterOptions {
	return sstable.WriterOptions{
		TableFormat:          format,
		BlockSize:            blockBytes,
		IndexBlockSize:       indexBlockBytes,
		Compression:          compression,
		WritingToLowestLevel: true,
		DisableValueBlocks:   true,
	}
}

// PebbleOptions returns the options to open a store of parts with. Pebble's own log is kept, for
// the node's own facts; parts do not pass through it. Nobody is told of its events until
// Events.Listen.
func PebbleOptions(fs vfs.FS, cacheBytes int64) *pebble.Options {
	o := &pebble.Options{
		FS:                  fs,
		CacheSize:           cacheBytes,
		FormatMajorVersion:  pebble.FormatNewest,
		MemTableSize:        memTableBytes,
		MaxManifestFileSize: manifestBytes,
		Logger:              logger{},
		EventListener:       &pebble.EventListener{},
	}
	// Parts never overlap, so there is nothing to compact; a compaction because of many reads
	// would write a table again for nothing.
	o.Experimental.ReadSamplingMultiplier = -1
	o.Experimental.EnableColumnarBlocks = func() bool { return true }
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockBytes
		o.Levels[i].IndexBlockSize = indexBlockBytes
		// This is for the rare table that Pebble itself writes. It keeps the profile's name in a
		// file, so the profile must be one of its own.
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.BalancedCompression }
	}
	Events{}.Listen(o)
	return o
}

// Events tell what the operator should know of the store. Each may be nil.
type Events struct {
	// Corruption is called when Pebble finds a table damaged, with its path.
	Corruption func(path string, err error)
	// Background is called with the error of Pebble's own work. It tries again.
	Background func(err error)
	// Slow is called when an operation on a file has taken suspiciously long.
	Slow func(what string)
}

// Listen makes a store that is opened with o tell e its events.
func (e Events) Listen(o *pebble.Options) {
	o.EventListener.DataCorruption = func(i pebble.DataCorruptionInfo) {
		if e.Corruption != nil {
			e.Corruption(i.Path, i.Details)
		}
	}
	o.EventListener.BackgroundError = func(err error) {
		if e.Background != nil {
			e.Background(err)
		}
	}
	o.EventListener.DiskSlow = func(i pebble.DiskSlowInfo) {
		if e.Slow != nil {
			e.Slow(i.String())
		}
	}
	o.Logger = logger{e.Background}
}

// logger takes what Pebble writes for people. What matters of it comes as an event.
type logger struct{ background func(error) }

func (logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	if l.background != nil {
		l.background(fmt.Errorf(format, args...))
	}
}

// Fatalf is for states Pebble cannot go on from, such as a manifest it could not write; it may not
// return.
func (logger) Fatalf(format string, args ...any) { panic(fmt.Sprintf("pebble: "+format, args...)) }
