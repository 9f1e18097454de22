// Package gossip knows who is in the cluster, who of them lives, and what each tells the others. It
// is an adapter of hashicorp/memberlist (SWIM with Lifeguard).
//
//	Publish ──> facts ──> packets ────────────┐
//	              ^  └──> streams, if large ──┤         Members, Facts: what is known here
//	              └────── exchange of states <┴─ peers  Changed: something of it is new
//	                      │
//	                   members <── probes, rumours
//	Join ──> round: who should be here and is not? ──> exchange of states
//
// What is told here is trusted for liveness and hints only. Placement is decided elsewhere, though it
// may travel as a fact, with a number of its own.
//
// # Members
//
// A node is known by the identity of its data directory. It may have a new address at any time, once
// the old one is dead: others accept it as soon as they know of the death, and until then the node
// asks again. All packets and streams carry the cluster's name as memberlist's label, so two clusters
// never become one, whatever addresses they are given to join. Up to 4096 members are known.
//
// A member is alive, dead or left. memberlist forgets its dead after half a minute; here they are
// remembered for a day ([Options.ForgetDead]), and those that left for an hour. memberlist does not
// say whether one that is gone has left, and its messages come in any order; so a node that leaves
// publishes the fact "gossip/leaving", of which the value is the life of the node that ends.
//
// # Joining, for ever
//
// In rounds, a node exchanges states with addresses where no living member is: those to join, whose
// names are resolved anew in each round, and those of dead members. Alone, it does so after 1 s, 2 s,
// 4 s, up to every 15 s; with others every 15 s, with 3 such addresses by chance. So a node may be
// started before those it joins, and the halves of a cluster that was split, for however long, become
// one when they can: by the addresses to join, and within a day by those of the dead.
//
// # Two nodes with one identity
//
// Others answer a node that joins with the address at which they know it. If it is another than its
// own, somebody may live there, or they have not noticed its own death yet. The node asks: memberlist
// answers a ping only to its name. If it is answered, or if the others still hold on to that address
// after 30 s, there are two. The one that started later, by their clocks, or has the higher address
// ends with [ErrSameIdentity]; both come to the same result. The other logs it.
//
// # Facts
//
// A fact is bytes under a key of a node. Each node keeps the newest version of each and tells further
// what is news: in packets if it fits one (1 KiB), else over streams to 3 members by chance. Besides,
// every 15 s a node exchanges all with another one, so that everyone has everything in the end.
//
// Versions start at the clock in microseconds and grow by at least one, so that those of a node that
// was restarted are above what the others remember. If its clock went back, it learns that from them:
// told an own fact that is not older than its own, it takes the version above. What an earlier life
// published and this one has not, yet, stands: a node that must not say it any more takes it back by
// publishing an empty value. The facts of a dead node are kept as long as the member is, those of one
// that left are dropped at once. Who joins after a node's death hears of its facts from
// those who knew it, and keeps them as long, of 64 such nodes at most; they go no further from there, or
// they would never be forgotten.
//
// A node may publish 32 facts with 64 KiB of keys and values. Exchanges carry up to 8 MiB of facts:
// the own ones, and of the others as many as fit, by chance.
//
// # Noticing a death
//
// Each node probes one other every 300 ms, in an order that it shuffles after each turn. Of n nodes,
// n-1 look for the dead one; of 10, the first does within 6 intervals but once in 10,000 times:
//
//	until the first probe            ≤ 6 × 300 ms   1.8 s
//	no answer, direct or by others       300 ms     0.3 s
//	suspicion: 4 × interval × log10(max(n, 10))     1.2 s (2.4 s with 100 nodes)
//	the rumour reaches all               some       0.3 s
//	                                                3.6 s (4.8 s with 100 nodes)
//
// Of 400 deaths among 10 nodes half were noticed by all within 1.8 s, 99 % within 2.7 s, the last
// after 3.3 s (go test -run 'TestDeath/^10$' -count 400 -v ./cluster/gossip). A node that is alive
// has the time of suspicion to deny its death; rumours go out every 100 ms, to 8 × log10(n) others
// from each that hears them: with half of that, a denial was lost on some node in one of ten minutes. With delays of 100±30 ms
// each way and 3 % of packets lost nobody is taken for dead (TestNoFalseDeaths).
//
// Idle, with a placement of 1.3 KB and 100 bytes of each node among the facts, each of 10 nodes sends
// 1.4 KB/s with the headers of IP, UDP and TCP (go test -run TestIdleTraffic -v ./cluster/gossip).
//
// # Bytes
//
// memberlist's messages are its own. What is ours, also in docs/formats/gossip.md:
//
//	metadata = | version u8 = 1 | protocol u8 | lowest u8 | uvarint weight | uvarint started, Unix ms |
//	           | rpc address | name | zone | region | software | what later versions add |
//	facts    = | version u8 = 1 | fact... |
//	fact     = | node 16 bytes | uvarint version | text key | uvarint length | value |
//	text     = | uvarint length | bytes |     and so are the five of the metadata
//
// # Concurrency
//
// All methods of Pool may be called concurrently, before and after Run too. Locks are taken in the
// order: Pool.life, memberlist's own, that of the queue of facts, Pool.mu. Under Pool.mu nothing else
// is called but the log. After Run has returned, probes of memberlist may wait for an answer for up to
// 2.4 s more; they touch nothing that anyone else uses.
package gossip
