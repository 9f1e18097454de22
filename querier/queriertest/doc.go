// Package queriertest holds what tests of queries need: a store in memory that is too simple to be
// wrong, a promstorage.Storage over any store, so that Prometheus' own test scripts run through plan,
// fanout, leaf and merge, and clusters whose nodes ask each other in memory. Only tests import it.
package queriertest
