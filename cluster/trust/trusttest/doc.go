// Package trusttest makes authorities and certificates for tests.
package trusttest
