package storagetest_test

import (
	"testing"

	"github.com/barograph-db/barograph/storage/storagetest"
)

// TestOracle holds the oracle to itself through its own chunks: the suite asks for nothing that a
// store which is plainly right does not do.
func TestOracle(t *testing.T) {
	storagetest.Run(t, func() func(t *testing.T, dir string) storagetest.Store {
		stores := map[string]*storagetest.Oracle{}
		return func(_ *testing.T, dir string) storagetest.Store {
			if stores[dir] == nil {
				stores[dir] = storagetest.NewOracle()
			}
			return stores[dir]
		}
	}())
}
