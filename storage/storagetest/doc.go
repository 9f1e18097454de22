// Package storagetest holds what the tests of storage share: a generator of data shaped like that
// of real hosts (Fleet), a naive store in memory that is plainly right (Oracle), and Run, which
// holds any Store to the oracle by random operations.
package storagetest
