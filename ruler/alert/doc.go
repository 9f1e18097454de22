// Package alert is what becomes of alerts: from what a rule's expression found at a time, and the
// alerts that there were, it makes the alerts that there are. It is pure: no clock, no I/O.
//
//	vector ──Expand──► Found: labels, annotations, value
//	                     │
//	alerts before ───► Step ───► alerts after ──► Samples: ALERTS, ALERTS_FOR_STATE
//	                     │
//	                    Due ───► those to be sent now
//
// The states are Prometheus':
//
//	            found                for is over               not found, nor kept firing
//	(nothing) ────────► pending ────────────────────► firing ────────────────────────────► inactive
//	     ▲                 │ not found                   ▲                                    │    │
//	     ├─────────────────┘                             └── found, for is 0 ── pending ◄─────┘    │
//	     └──────────────────────────────────────────────────── resolved 15 minutes ago ◄───────────┘
//
// An Alert is never changed: Step and Due return new ones where something is different and the same
// pointers where nothing is, so that what has changed is seen by comparing pointers.
package alert
