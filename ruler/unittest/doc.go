// Package unittest runs unit tests of rules, in the file format of promtool test rules, whole, and to the
// same verdict. The groups are evaluated by ruler.Solo, that is by what nodes run.
//
//	test file ─Parse─► File ─┬─ rule_files ──► groups ─► ruler.Solo ──┐ Query, Append
//	                         │                                        ▼
//	                         └─ tests ─► input_series ─► load ─────► Store, one for each test
//	                                   ├ alert_rule_test ──► the alerts that fire, after the evaluation before
//	                                   └ promql_expr_test ─► Query, after all of them
//
// A test goes through time in steps of evaluation_interval, from 0 or start_timestamp to the last
// eval_time: at each step the input is loaded up to then, and all groups are evaluated then, whatever
// their own intervals and offsets are.
package unittest
