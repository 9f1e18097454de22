// Package changes remembers which times of a store have changed since any moment of its life, in little
// memory: who keeps what it computed of the samples asks whether they are still the same.
//
//	Add(span) ──► count 7 ─┐
//	                       ▼
//	10 s   ... | 5 | 5 | 6 | 7 |        the newest hours: when was a sample in these 10 s changed last?
//	  │ a bucket that is pushed out by a newer one goes to the wider one that has its times
//	  ▼
//	5 min  ... | 3 | 5 |                the newest days
//	  ▼
//	1 day  ... | 2 |                    the newest years
//	  ▼
//	rest   2                            all else together
//
// A change is any after which a selection may give other samples: one more, one less or another value.
// It is added once it can be read, and before anybody is told that it was made. So who asks for the
// stamp first and reads then has read all changes of that stamp; what was read and is not of that stamp
// shows up in the next question, which may name too many times but never too few.
//
// A Log lives as long as its store is open. The stamp names that life, since nothing is known of what
// came before.
//
// All methods of Log may be called concurrently.
package changes
