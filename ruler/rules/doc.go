// Package rules reads groups of recording and alerting rules: Prometheus' rule files, whole, and the
// same text as the rule API takes it. It is pure but for Load, which reads files.
//
//	rule_files: globs ──Load──► Source{Namespace: path, Text} ──Parse──► []Group ──► evaluated
//	POST /config/v1/rules/NAMESPACE ── a group's text ─────────────────────┘
//
// What is kept and agreed upon is the text; a Group is what one node makes of it.
//
// # Identity
//
// A group is named by its namespace (the path of its file, or what the rule API was given) and its
// name. A rule is known by its kind, name and labels: a rule that was edited otherwise keeps its
// alerts. Of several alike the first is the first, as in Prometheus.
package rules
