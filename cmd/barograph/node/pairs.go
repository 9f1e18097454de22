package node

import (
	"context"

	"github.com/barograph-db/barograph/ingest"
	"github.com/barograph-db/barograph/ingest/dedup"
)

// openElections prepares the elections of HA pairs: agreed on with the others, or kept in a file. It
// returns nil where no pairs are looked for.
func (n *Node) openElections(others *region, s *stack) (ingest.Elector, error) {
	ha := n.options.HA
	if !ha.Enabled {
		return nil, nil
	}
	opts := ha.options()
	opts.Logger, opts.Registerer = n.logger, n.registry
	table := dedup.NewTable()
	if others != nil {
		table = others.pairs
		opts.Propose = func(ctx context.Context, command []byte) ([]byte, error) {
			return others.cluster.Propose(ctx, dedup.StateName, command)
		}
	} else {
		file, err := dedup.OpenFile(n.cfg.Storage.Path, table, n.logger)
		if err != nil {
			return nil, err
		}
		opts.Propose = file.Propose
		s.parts = append(s.parts, file.Run)
	}
	e, err := dedup.New(table, opts)
	if err != nil {
		return nil, err
	}
	s.parts = append(s.parts, e.Run)
	n.pairs.Store(e)
	_ = e.Set(n.file.Load().Barograph.HA.settings()) // For the case of a reload in the meantime.
	return e, nil
}
