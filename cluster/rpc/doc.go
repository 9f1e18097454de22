// Package rpc carries requests between nodes. It knows the names of methods, not what is in them.
//
// A Transport is both ends: it serves the methods that it was given a Handler for, and opens
// streams to other nodes. A stream is one request: messages both ways, an end of each, and a
// status. All streams of a class to a peer share one connection, a link, which is dialled when it
// is first needed and ends when it has been idle.
//
//	Open(peer A, "leaf.Select") ─┐
//	Open(peer A, "leaf.Labels") ─┴─ link (Interactive) ══ TCP ══ accept ─┬─ Handler
//	Call(peer A, "move.Copy") ───── link (Bulk)        ══ TCP ══ accept  └─ Handler
//	Raw("raft") dial ──────────────────────────────────── TCP ══ accept ─── Raw("raft") listener
//
// The classes have a connection each, so that what is large does not lie in the way of what is
// urgent. A link carries only requests of the node that dialled it; the other node's have its own.
// A raw connection is handed over as it is after the handshake.
//
// # Bytes
//
// Each connection begins with a handshake; docs/formats/rpc.md draws it and what follows:
//
//	hello   = | magic "barorpc\n" | length u16 | lowest u8 | highest u8 | purpose u8 | to 16 bytes | identity | text kind | window u32 |
//	answer  = | magic "barorpc\n" | length u16 | refusal u8 = 0 | version u8 | identity | window u32 |
//	        | | magic "barorpc\n" | length u16 | refusal u8 > 0 | words |
//
//	frame   = | kind u8 | stream u64 | length u32 | body |
//
//	dials:    open  part* last  ...  end                      cancel   credit  ping  pong
//	accepts:        part* last  ...       status (ends it)             credit  ping  pong  bye
//
// All of it may go over TLS (see secure.go); then both sides show certificates.
//
// A message is cut into parts of at most 64 KiB, so that streams of a link take turns. A node sends
// on a stream only what the other has given it credit for, and credit is given back as messages
// are received: who does not receive stops only its own stream, and the reader of a link never
// waits for anyone. What a peer may make a node hold is thus at most a window for each stream.
//
// # Writing
//
// Whoever has something to write puts it into the link's buffer. If nobody is writing, he writes
// the buffer himself, in one system call and with no change of goroutine; if somebody is, that one takes
// it along. The reader never writes: what it has to say is left to the link's writer.
//
// # Ends
//
// What holds of every stream, whatever happens to nodes and connections:
//
//   - io.EOF from Recv means that the other end has ended its side in order and all was received.
//   - Any other error is an *Error. A connection that broke is Unavailable, and a handler's error
//     has the code and text that it was given there.
//   - A stream ends when its context does, and so does the context of its handler, with the same
//     deadline.
//
// A peer of which nothing is heard for KeepAlive, or that takes nothing in for so long, is taken for
// dead and its link with all streams ends. After a dial that failed, callers get Unavailable at once
// until the next is due. A node that ends says bye to those who dialled it: requests that have
// arrived are answered, streams at rest are Unavailable, and no new one is begun.
//
// All methods of a Transport may be called concurrently, Handle and Raw before Run only. A stream
// has one sender and one receiver, which may be two goroutines.
//
// Lock order: pool.mu, link.mu, stream.mu, link.out; nothing is written or waited for under the first three.
package rpc
