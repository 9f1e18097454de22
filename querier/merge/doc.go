// Package merge joins the series that several nodes sent into one set, and gives it the forms that
// Prometheus' libraries ask for.
//
//	sets, each in the order of series.Compare
//	   └─ Sets          k-way merge; the chunks of equal series in one list by start
//	        ├─ NewSeriesSet       samples, for promql
//	        └─ NewChunkSeriesSet  chunks without overlap, for remote read
//
// Equal series may come from several sets, and with chunks that overlap: replicas answer for each
// other, and late samples lie beside the earlier ones. chunk.NewIterator resolves timestamps that
// come twice, so that each counts once.
//
// What the sets hand out stays valid until they are closed.
package merge
