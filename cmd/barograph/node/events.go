package node

import (
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/wal"
)

// storageEvents turns what the storage tells into log lines.
func (n *Node) storageEvents() storage.Events {
	l := n.logger
	return storage.Events{
		WAL: wal.Events{
			TornTail: func(t wal.TornTail) {
				l.Warn("The log ended in a record that was not written whole; it was cut off. Nothing acknowledged is lost",
					"segment", t.Segment, "offset", t.Offset, "bytes", t.Bytes)
			},
			Damaged: func(d wal.Damage) {
				n.corruptions.Add(1)
				l.Error("Part of the log is damaged and was skipped", "damage", d.String())
			},
			DiskFull: func(err error) { l.Error("The log takes no records: the disk is full", "err", err) },
			DiskFree: func() { l.Info("The log takes records again") },
			Failed: func(err error) {
				l.Error("The log has failed: no more writes are taken until the node is restarted", "err", err)
			},
			Checkpointed: func(c wal.CheckpointInfo) {
				l.Info("Wrote a checkpoint of the log", "segment", c.Segment, "bytes", c.Bytes,
					"segments_removed", c.SegmentsRemoved, "duration", c.Duration)
			},
		},
		Replayed: func(r storage.ReplayInfo) {
			n.replayed.Store(int64(r.Segments))
			n.logDamaged.Store(r.Damaged > 0 || r.Lost > 0)
			l.Info("Read the log", "series", r.Series, "segments", r.Segments, "records", r.Records,
				"damaged", r.Damaged, "lost", r.Lost, "lost_from_segment", r.LostFrom, "duration", r.Duration)
		},
		Flushed: func(f storage.FlushInfo) {
			l.Info("Flushed the head", "parts", f.Parts, "series", f.Series, "samples", f.Samples,
				"bytes", f.Bytes, "duration", f.Duration)
		},
		Sealed: func(s storage.SealInfo) {
			l.Info("Sealed a day", "day", s.Day, "parts", s.Parts, "series", s.Series, "samples", s.Samples,
				"bytes_before", s.BytesIn, "bytes_after", s.BytesOut, "duration", s.Duration)
		},
		Background: func(what string, err error) {
			l.Error("Work in the background failed and will be tried again", "what", what, "err", err)
		},
		Full: func(full bool, free uint64) {
			if full {
				l.Error("The disk is nearly full: writes are refused, queries go on", "free", free)
			} else {
				l.Info("The disk has room: writes are taken again", "free", free)
			}
		},
		Dropped: func(d storage.DropInfo) {
			l.Info("Space of shards that other nodes hold is back", "part", d.Part, "freed", d.Freed, "written", d.Written, "duration", d.Duration)
		},
		Damaged: func(d storage.DamageInfo) {
			select {
			case n.damages <- d:
			default: // Whoever reads the part next tells of it again.
			}
		},
		Waiting: func(waiting bool, err error) {
			if waiting {
				l.Error("The disk is full to the brim: the store waits for room, queries go on", "err", err)
			} else {
				l.Info("The store has found room and goes on")
			}
		},
		Retained: func(part string) { l.Info("Dropped a part that is beyond the retention", "part", part) },
	}
}
