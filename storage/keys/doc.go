// Package keys is the Pebble keyspace: it encodes and decodes every key, and nothing else.
//
// A key begins with its class. The classes 'c' and 'i' hold parts; a part is everything flushed
// at once for one tier and stretch of time, and its rows are a contiguous range in each of the two
// classes, so dropping a part is two range operations.
//
//	part   = class u8 | tier u8 | start u32 | seq u32                  10 bytes
//	chunk  = part 'c' | shard u16 | ordinal u32                        16 bytes: a chunk row
//	index  = part 'i' | section u8 ...
//	           section 0: header                                       11 bytes
//	           section 1: symbols      | block u32                     15 bytes
//	           section 2: label rows   | block u32                     15 bytes
//	           section 3: postings     | name, escaped | 0x00 0x01 | value
//	           section 4: times        | block u32                     15 bytes
//	node   = 'm' | "format"                                            version and identity of the store
//	         'm' | "tombstone/" | seq u64                              19 bytes: one tombstone
//
// All integers are big endian, so keys sort (bytewise, Pebble's default comparer) as their fields
// do. start is in minutes since the epoch with the top bit flipped, so that times before 1970 sort
// first; parts therefore begin at whole minutes. seq tells apart the parts of one start and grows
// with each flush of a node. ordinal is the number of a series in its part; ordinals are given out
// in the order (shard, metric, labels), which makes a shard and, inside it, a metric a range of keys.
//
// A label name in a postings key may hold any byte: each 0x00 in it is written as 0x00 0xff, and
// 0x00 0x01 ends it. The order of names is kept, and no name is a prefix of another. The value is
// the rest of the key, as it is.
//
// Every key is a whole prefix for the default comparer, so any of them may bound an excise.
package keys
