// Package wire asks another node what a leaf answers, and answers other nodes: Remote is a leaf.Node
// at the end of a stream, Server holds the handlers at its other end. What carries the streams comes
// in as Open and Conn.
//
//	Remote                                 Server
//	  │ request: selector, ...               │
//	  ├────────────────────────────────────► │ admits, compiles matchers, all within this node's limits
//	  │                              batch   │ asks its leaf
//	  │ ◄────────────────────────────────────┤
//	  │ Take, then keep              batch   │ a sender that is ahead waits: the stream has a window
//	  │ ◄────────────────────────────────────┤
//	  │                       end or failure │
//	  │ ◄────────────────────────────────────┘
//
// An answer ends with a message that counts what was in it, and says what the node did for it. A stream
// that ends without one was cut, and is an error whatever came before. Who asked may close the stream at
// any time, which ends the handler's context.
//
// A node that is asked for a partial result computes all of it first, under limits of its own, and then
// sends some groups at a time.
//
// A node that can't answer says so with a leaf.Failure: the kind of the error, which the caller gives
// to its own client, and whether it is worth asking another replica.
//
// A node answers for shards that it holds whole by the placement it knows, and no others, whatever it still
// has or has already of them. With each request comes the epoch of the placement that it was planned by: a node
// that knows none as new waits a little for it. Else it refuses with the epoch that it does know, so that who
// asked may learn of that placement, and plan anew.
//
// # Messages
//
//	message   = kind u8 | body                       at most 128 KiB
//	            1 part      of a body that goes on in the next message
//	            2 request   version u8 (2) | uvarint epoch | selector... as the method has it
//	            3 batch     uvarint len(packed) or 0 | uvarint len(head) | head, packed by zstd or not | rows
//	            4 end       uvarint items: what all batches have | uvarint of each figure: series read, samples
//	                        and bytes of their chunks, µs of waiting for its turn, µs at work. A node of
//	                        another version may leave some out, or have more
//	            5 failure   kind u8 | flags u8: 1 ask elsewhere, 2 compute it yourself, 4 stale
//	                                | [uvarint epoch: of the node's placement] if stale | text
//
// What was changed (Remote.Changes) is answered outside the limits: it takes less than a turn does.
//
// # Requests
//
//	select    = selector
//	partial   = text expression | varint start | uvarint step | uvarint steps | uvarint lookback
//	          | per step u8 | selector                           expression: see package eval
//	names     = selector
//	values    = text name | selector
//	exemplars = varint mint | varint maxt | flags u8: 2 shards | [shards] | uvarint sets | matchers...
//	metadata  =
//	changes   = stamp
//	stamp     = u64 life | uvarint count                         see package changes
//	cardinality = selector, of which the shards and the limit count
//	selector  = varint mint | varint maxt | flags u8: 1 labels only, 2 shards | uvarint limit | [shards] | matchers
//	shards    = bits u8 | a bit for each of 1<<bits shards, the lowest first
//	matchers  = uvarint n | (type u8: 0 = 1 != 2 =~ 3 !~ | text name | text value)...
//	text      = uvarint length | bytes
//
// # Batches
//
// The head is what packs well. Series come in the order of their hashes, so that labels have little in
// common with those before them, but much with others of the batch, which is what zstd is for. Chunks
// are packed already and go as they lie. Series of one target share columns of timestamps (package
// chunk): a column is sent once in a stream, and is known by its number from then on.
//
//	select    = head: uvarint rows | uvarint chunks | uvarint columns | (text column)... | labels...
//	            rows: (uvarint len(row)<<1 | more | row)...     more: the next row is of the same series
//	labels    = text; of each series, canonical; a row that is more of a series has none
//	partial   = head: uvarint series | uvarint samples | uvarint new samples | uvarint values
//	                | uvarint bytes of chunks | flags u8: 1 dropped labels, 2 they differ | text labels
//	                | uvarint n | (uvarint samples | uvarint new samples)... | uvarint n | (info u8 | text)...
//	            head: set, see package partial                       in each batch but the first
//	strings   = head: uvarint n | (uvarint shared with the one before | text of the rest)...   sorted
//	exemplars = head: uvarint n | (text labels | uvarint n | (varint t | f64 le | text labels)...)...
//	metadata  = head: uvarint n | (text metric | text type | text help | text unit)...
//	changes   = head: uvarint 1 | stamp | uvarint n | (varint mint | varint maxt)...
//	cardinality = head: uvarint 1 | text counts, see package cardinality
//
// A column and a row are as package chunk has them; a row of no bytes is one of no chunks. What is
// decoded is validated: labels are canonical and in the order of series.Compare. Data of chunks is
// looked at by whoever reads it.
package wire
