// Package notify tells Alertmanagers of alerts: those that the section alerting of prometheus.yml
// names, each by itself.
//
//	static_configs ─┐
//	file_sd_configs ├─► targets ─► relabel_configs ─► URLs of Alertmanagers
//	dns_sd_configs  ┘                                    │
//	                                                     ▼
//	Send ─► external labels, ─► the set's ─────────► queue ─► sender ─► POST /api/v2/alerts
//	        alert_relabel_configs  alert_relabel_    queue ─► sender ─► POST /api/v2/alerts
//	                               configs           queue ─► sender ─► POST /api/v2/alerts
//
// # One queue for each
//
// Each Alertmanager has its own queue and sender, so that one that is down or slow delays no other. A
// sender has one request under way at a time, so that alerts arrive in the order in which they were sent.
//
// An alert that comes while the last one of the same labels still waits takes its place, if both fire or
// both are resolved: an hour of alerts sent again and again is one alert in the queue. One that fired and
// is resolved then is two, and both arrive in this order. Beyond Options.QueueSize the oldest is dropped.
//
// # What is tried again
//
// An Alertmanager that can't be reached, does not answer in time or answers 5xx or 429 is tried again,
// after delays that grow up to 15 seconds, for as long as an alert is worth it: one that fires until its
// end, which its sender keeps ahead of the clock while it fires, one that is resolved for 15 minutes.
// Any other answer than 2xx is about the alerts themselves, which are dropped and the answer logged.
//
// # Reload
//
// An Alertmanager is known by its URL. While it has the same URL it keeps its queue, whatever else
// changes. One that is found no more has 10 seconds to take what waits for it, and has its queue back if
// it is found again meanwhile: new settings of a discovery take a moment until they lead to a target.
//
// Alerts that are sent while no Alertmanager is found are lost, and counted; the ruler sends what fires,
// or was resolved lately, again each minute.
package notify
