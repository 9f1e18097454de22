// Package scratch is a database in memory with the query engine over it: the storage and the engine of a
// node, without the node. Tests of rules run over one.
//
//	Append ──► storage.DB (in memory) ◄── querier.Engine ◄── Query
//
// What is appended has to be in order for each series, as Prometheus' storage has it by default: so a
// test in which two rules write one series fails here as it does there.
package scratch
