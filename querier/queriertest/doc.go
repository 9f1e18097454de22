// Package queriertest holds what tests of queries need: a store in memory that is too simple to be
// wrong, and a promstorage.Storage over any store, so that Prometheus' own test scripts run
// through plan, fanout, leaf and merge. Only tests import it.
package queriertest
