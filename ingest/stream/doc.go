// Package stream carries frames of samples from this node to one replica: both ends of the protocol.
// A frame is sent once, answered once, and what it says of a series is the least that can be said:
// labels go over a stream once, then a sample is a few bytes.
//
//	     node that takes the write                               replica
//	Send ─► copy ─► queue ─► writer ══ frames, beats ══► decode ─► exchange ─► Store.Add
//	          │                                                         (in order)
//	       pending ◄── done(rejected, err) ── reader ◄══ acks, beats ═════════════┘
//
// # Sender
//
// There is one Sender for a peer. Send copies a frame into memory of the sender's own and returns;
// its columns are kept until the frame is answered, so that it can be sent again on another stream,
// whichever labels that one lacks. A copy costs a nanosecond a sample; encoding, which costs tens, is
// done by the stream's writer, one frame after the other, since what a frame says builds on those before
// it. Frames that wait together share a message.
//
// Each frame that is taken is done exactly once: answered by the peer, or failed. Frames fail when the
// peer can't be reached at the first attempt after a stream broke, when no answer came within
// Options.Timeout, and when the Sender ends. A Send is refused at once, and its frame never done, while
// the peer is down, too much is pending, or a frame has been for a second: a peer that is slow should keep
// only those waiting who do so already. Refused and failed frames are counted, and the peer is told the
// count: it has missed them, unless it has them after all.
//
// Frames have numbers, from 1 on for each Sender, whose id is random. A frame too large for one message
// is cut into several, each with a number, that are done together.
//
// # Labels
//
// References are the sender's own, dense numbers with a generation. For each stream there is one
// array, by index, of the generation that was defined on it; a sample whose generation is there costs one
// look. Else the series is defined (frame.SeriesDef) in the frame that uses it. When a stream breaks, its
// array goes with it: the claim that the peer knows a series never outlives the stream it was made on.
//
// The receiver has an array of its Store's references by the sender's index, and keeps no labels. A
// sample whose series it does not know, be it that the Store has forgotten it or could not create it, is
// answered with frame.UnknownRef, and the sender sends just those samples again, with labels. The
// labels are in the sender's memory anyway; here they would take some hundred bytes for each series of each
// sender, to save a round trip for series that had no sample for hours.
//
// # Order
//
// Frames are handed to the Store in their order, without waiting for the disk: it stores several at a time, in
// that order (see package gather), and their acks share a message.
//
// # Liveness
//
// A sender that has nothing to say beats every 300 ms, a receiver every second. The receiver keeps for
// each sender when it was last heard, up to which number all frames are answered, and how many the sender says
// it missed (Receiver.Senders). A sender that hears nothing for four seconds breaks the stream.
//
// # Epochs
//
// With each message goes the epoch of the placement by which the sender's node writes. A receiver whose node
// has promised to take no more writes by a placement as old as that refuses the frames (Stale), also
// when the promise was made while they were being stored. What is newer than its own placement tells it that
// there is one to be had.
//
// # Messages
//
//	message    = kind u8 | body | crc u32            CRC-32C of kind and body
//	hello      = kind 1 | version u8 (1) | sender u64            first, from the sender
//	welcome    = kind 2 | version u8 (1) | uvarint references    first, from the receiver: how many
//	             indexes it has room for
//	frames     = kind 3 | uvarint missed × 2 + behind | uvarint epoch | n × (uvarint seq | uvarint length | frame)
//	             behind is 1 while frames for the peer are kept elsewhere (Heard.Behind); n is 0 in a beat; a frame is one of a log (package frame) of its own for each stream;
//	             seq is 0 for one with definitions only, which is not answered
//	acks       = kind 4 | n × ack                    n is 0 in a beat
//	ack        = uvarint seq | 0                     taken
//	           | uvarint seq | 1 | uvarint n | n × (uvarint index less the one before | reason u8)
//	             taken but for these, counted as in frame.Rejected
//	           | uvarint seq | 2 | code u8 | uvarint length | text
//	             not taken
//
//	numbers are little endian
//
// Acks come in any order. An end that gets a message it can't read breaks the stream.
//
// # Cost
//
// Measured with frames of 1000 samples of a node exporter fleet of some 20,000 series, scraped at
// regular intervals, both ends in one process over a connection in memory
// (go test -run '^$' -bench Stream ./ingest/stream):
//
//	                  bytes/sample    processor, both ends
//	in order              0.83              50 ns/sample
//	in random order       1.86              70 ns/sample
//
// With a code for each column it is 0.67 bytes and 56 ns, and 1.44 bytes and 97 ns: bytes between nodes are not worth
// that.
//
// A series costs 4 bytes at the sender and 16 at the receiver, and 12 more at each for the coding of
// its values, for every stream that it is on.
package stream
