// Package patience makes whoever writes wait while the disk is full, in place of an error.
//
// A store on Pebble can't go on after a write to its list of tables or to its log has failed: it ends
// the process. When the disk is full, that is too much, for there may be room again. The stores look
// for room before they begin to write, and keep a reserve for what they must write later; but others
// may write to the disk as well, and to the brim. What is written by way of an FS of this package
// is then tried again until there is room, and what was written of it is not written twice:
//
//	write 100 bytes ─> 60 written, no space ─> wait ─> no space ─> wait ─> 40 written: done
//
// So it is with files that are made, written and renamed. Errors other than lack of space, of a quota
// too, are passed on, and so are those of links, which are made for tables that can be given up, and
// of syncs: what a sync that has failed has left on the disk is unknown. Reading never waits.
//
// All methods may be called concurrently.
package patience
