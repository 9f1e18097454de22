// Command bench measures Barograph beside its peers: each target gets the same remote-write
// requests, then the same queries, then is killed under load and started again; one run prints one
// Markdown table of the servers' costs and their ratios.
//
//	data (by seed) ──► requests, encoded once into a file ──► target after target
//
// What is measured is the server process: CPU time (user and system), peak resident memory, bytes
// it wrote, size of its data directory. Wall time is not, since machines are shared. The client
// only reads encoded requests and sends them, so that it costs little beside the server.
//
// The hour of the scenario "steady" ends ten minutes after an even hour (UTC), the last that is due for
// Barograph's flush: whatever the time of a run, a flush falls into the load. Barograph looks every five
// seconds for what is due, so that the load has to take longer than that, as 100,000 series do.
//
// With -clusters, clusters of our own are measured in place of peers: each layout gets the same requests, spread
// over its nodes, and the CPU time is that of all nodes together.
//
// With -rules, three nodes and a Prometheus evaluate the same rules over the same data, which go on in real time:
//
//	history, then scrapes as they are due ──► [idle] rules are loaded ──► [each group evaluated] ──► [measured]
//
// A run also checks: each target must hold what it acknowledged, and answers are compared with
// Prometheus'.
package main
