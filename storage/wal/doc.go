// Package wal is the write-ahead log: records in segments, synced in groups, read back after a
// crash, and replaced by a checkpoint when what they say is elsewhere. A record is a kind and a
// payload of bytes that mean nothing here.
//
// # Promises
//
//   - A record that Wait acknowledged is in every later replay, byte for byte, until a checkpoint
//     covers it. Options.Sync says what it survives: in the mode Batch power loss, in Interval and
//     Off the death of the process, and power loss up to what these modes may lose.
//   - If a record is acknowledged, all appended before it are there too (see "A full disk").
//   - A replay never delivers a record that was not appended, never fails because of damage, and
//     loses no more than the records that damage touched. What it could not read it tells by
//     Events, counts, and leaves where it is.
//   - A record that was not acknowledged may be delivered or not.
//
// # Files
//
// A directory holds segments, 0000000000000007.wal, and at most one checkpoint,
// 0000000000000007.checkpoint, which stands for all segments below its number. Both have one
// layout; numbers are little endian, checksums CRC-32C.
//
//	file   = header, 0 up to 4096, header again, record...
//
//	header =  0  magic "BAROWAL\0"
//	          8  version u8 (2) | type u8 (1 segment, 2 checkpoint) | 0 (6)
//	         16  number u64
//	         24  salt u64               random
//	         32  previous segment u64   0: none
//	         40  its good bytes u64
//	         48  its end u64
//	         56  0 (4)
//	         60  checksum u32           of 0..60
//
//	record =  0  marker F8 B4 FE
//	          3  kind u8                0 ends a checkpoint or fills a page of a segment, 255 is a
//	                             checkpoint's record
//	          4  length u32             of the payload, at most 64 MiB
//	          8  checksum u32           of the payload
//	         12  unsynced u32           distance back to where everything before was on disk
//	         16  checksum u32           of salt, number, the record's offset u64, and 0..16
//	         20  payload
//
// The last record of a checkpoint has kind 0 and the number of the others as u64.
//
// # Damage
//
// Three kinds of bytes may follow each other in a file: whole records, records damaged by the disk,
// and what was being written when the machine stopped. A reader must skip the second kind, and must
// not confuse it with the third.
//
// The simple log has a length and a checksum per record and stops at the first that fails: one flipped
// bit loses all that follows. A log of pages, at whose borders a reader finds its way again, loses
// up to a page, and cuts long records into pieces that must be put together. Here the header of a
// record has a checksum of its own. If it holds, so does the length, and a damaged payload is
// skipped by it. If not, the reader looks for the next marker whose header holds. Since that
// checksum covers the offset and the file's salt, bytes within a payload can't pass for a header,
// not even if a client chose them, nor can what an older file left on the same blocks. So a flipped
// bit loses one record, and one in a file's header, which stands twice a page apart, none.
//
// Each record says up to which offset the file had been synced when it was written. What is
// damaged before the last such offset was on disk once: damage. What is bad behind it, at the end
// of the last segment, is a torn tail: power was lost during a sync, and pages reach the disk in
// any order, so that whole records may follow torn ones; they are delivered. (Damage to the very
// last batch can't be told from a tear, and counts as one.) A file is never cut short or written to
// again. Instead, the next segment, begun after the replay, says in its header how far the one
// before it was good and where it ended; later replays ignore what lies behind that, which is how a
// torn tail is told only once, and how the end of a segment that lost bytes is known. By naming its
// predecessor it also tells a segment that is missing.
//
// A segment's header and directory entry are synced before the first record is written. So a file
// without a readable header and without records was never used, and is removed by Open.
//
// # Group commit
//
// Append copies a record, with its checksums but for the last, behind the batch that is gathering:
// a short lock, no I/O. Run takes the batch, leaves a new one, seals each record for its place in
// the file, writes, syncs, and wakes all who wait for the batch. Meanwhile the next batch gathers.
// A batch has one result, so a Pos is a pointer to its batch. The buffer is bounded by
// Options.BufferBytes; beyond it Append blocks.
//
// A disk writes whole pages, and a sync that ends within one has the next write it again. So a batch
// ends with a record of zeros that fills its page, unless that is longer than the batch itself. Where a
// batch without its last records would leave clearly less of its pages empty, these are put off: they
// begin the next batch, and who waits for them goes on to wait for that.
//
// How many a sync takes along depends on who is waited for. Appenders say that they are at work
// (Enter, Leave); Run knows how many lately were so at once, and syncs as soon as as many wait, or
// after 5 ms, and then expects only as many as there were. So a few writers who each wait for their
// record, as connections do, share each sync, and a lone one is never held up.
//
// Writing is a right that one goroutine has at a time (WAL.turn): Run, Cut or Close. WAL.mu is
// for memory only and is never held over I/O; it may be taken while holding the turn, not the
// other way round. Checkpoints exclude each other by WAL.checkpointing, and hold up nobody.
//
// Preallocating segments was measured on ext4 and dropped: fdatasync after 20 KB took 0.25 ms with
// and without. (Overwriting recycled files took 0.15 ms. The format is fit for it, thanks to the
// salt, should a disk ever ask for it.)
//
// # A full disk
//
// When a write fails for lack of room, the batch's waiters get ErrFull, Append refuses with
// ErrFull, and what is behind the last good record of the file is unknown: that segment is done
// with. Run tries a new one ten times a second. The records of the failed batch, and of the one
// that gathered meanwhile, are held in memory and written first when there is room, although
// nobody waits for them: a later record may need an earlier one, as samples need the definition of
// their series, whose Append had returned well.
//
// Any other error of a write, and every error of a sync, ends the log: ErrFailed for all who wait
// and for ever after. A sync that failed is never tried again, since the operating system may have
// dropped the pages and would call the second try a success.
//
// # Checkpoints
//
// BeginCut draws the line, which is all that appenders must be kept out for: a batch is taken. Finish
// writes it and begins a segment. The caller writes what all segments before it amount to into a checkpoint:
// a temporary file, synced, renamed, the directory synced. Then older checkpoints are removed, the
// directory is synced, and older segments are removed. A crash at any point leaves either the
// older base (a checkpoint, or nothing, with all its segments) complete, or the newer one, or both.
// Open takes the newest checkpoint, unless it is damaged and the older base is still complete, and
// removes the rest. With no older base a damaged checkpoint yields the records that can be read.
package wal
