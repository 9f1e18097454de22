// Package simnet is a network in memory, for tests of what talks over networks: hosts that listen,
// dial and send packets to each other, and faults between them.
//
//	        Cut, Delay, Loss (one way)           Kill, Pause (a host)
//	             a ───────────> b
//	Host a  ─ Dial ──> pipe ──> pipe ──> Accept ─  Host b
//	         <─ Read ─ pipe <── pipe <── Write ──
//
// What a host offers is that of package net: Listen, Dial and ListenPacket. Addresses are HOST:PORT,
// where HOST is the name of a host or its IP, which it is given when it is first named. Addresses of
// connections are of IPs, as they are outside.
//
// Streams behave as TCP's do: buffers are bounded, so a writer waits for its reader; bytes under way
// when a link is cut stall until it is healed or a deadline ends the wait; a dial over a cut link
// hangs until its context ends, and one to a port where nobody listens is refused. Half-close is not
// there. Packets are lost, delayed, overtaken, and dropped where queues are full or links are cut.
//
// A host that is killed is so for good: all its calls fail, and its peers see a reset, unless the
// link to them is cut: then they see it when the link is healed. [Network.Host] with the same name
// afterwards gives a new host at the same IP, as a restart does; what is left of the old process can
// do no harm. A host that is paused is a stopped process: its calls return only after it is resumed
// or closed, while others may still connect to it and send until buffers are full. Its goroutines
// run on between calls, since nobody can stop them.
//
// # Time and chance
//
// There are no goroutines: what was sent has a time of arrival, and whoever waits for it does so by
// sync.Cond and timers. So the network works inside testing/synctest bubbles, where delays cost
// nothing, and cannot leak. Each direction between two hosts draws from a generator of its own, of
// the seed and their names: the same sends there meet the same losses and delays, whatever goes on
// elsewhere. What goroutines do in which order is not in the network's hand.
//
// All methods may be called concurrently. One lock guards a network.
package simnet
