// Command barotool looks into Barograph's files without a node: it changes nothing, and a node may
// be running on them.
package main
