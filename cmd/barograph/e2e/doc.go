// Package e2e tests the barograph binary as its users meet it: beside a real Prometheus and a real
// node_exporter, and killed under load. It holds tests only.
package e2e
