package node

import (
	"context"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/barograph-db/barograph/querier"
	"github.com/barograph-db/barograph/querier/api"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/index"
)

// apiOptions connect the query API to the storage and to what the node knows of itself.
func (n *Node) apiOptions(engine *querier.Engine, db *storage.DB, clustered bool) api.Options {
	return api.Options{
		Engine: engine,
		Store: api.Store{
			Stats:  tsdbStatsOf(engine, db, clustered),
			Blocks: func(context.Context) ([]api.Block, error) { return blocks(db.Stats(0).Parts), nil },
			WALReplay: func() (api.WALReplay, error) {
				segments := int(n.replayed.Load())
				return api.WALReplay{Max: segments, Current: segments}, nil
			},
		},
		Admin: api.Admin{
			Enabled:         n.cfg.Web.EnableAdminAPI,
			Delete:          db.Delete,
			CleanTombstones: db.CleanTombstones,
			Snapshot:        db.Snapshot,
			Flush:           db.Flush,
			Seal:            db.Seal,
		},
		Status:         n.status(),
		ExternalLabels: func() labels.Labels { return n.file.Load().externalLabels() },
		Rules:          n.ruleGroups,
		Alertmanagers:  n.notifier.Alertmanagers,
		LookbackDelta:  time.Duration(n.options.Query.LookbackDelta),
		Logger:         n.logger,
		Registerer:     n.registry,
	}
}

// tsdbStatsOf returns what tells what the node's head holds, or those of all nodes of its cluster do.
func tsdbStatsOf(engine *querier.Engine, db *storage.DB, clustered bool) func(context.Context, int) (api.TSDBStats, error) {
	if !clustered {
		return func(_ context.Context, limit int) (api.TSDBStats, error) { return tsdbStats(db.Stats(limit)), nil }
	}
	return func(ctx context.Context, limit int) (api.TSDBStats, error) {
		c, err := engine.Cardinality(ctx, limit)
		if err != nil {
			return api.TSDBStats{}, err
		}
		return api.RankedStats(c, limit), nil
	}
}

func tsdbStats(s storage.Stats) api.TSDBStats {
	ranked := func(stats []index.Stat) []api.Ranked {
		out := make([]api.Ranked, len(stats))
		for i, st := range stats {
			out[i] = api.Ranked{Name: st.Name, Value: st.Value}
		}
		return out
	}
	return api.TSDBStats{
		HeadStats: api.HeadStats{
			NumSeries: uint64(s.Head.Series), NumLabelPairs: s.Index.LabelPairs, ChunkCount: s.Head.Chunks,
			MinTime: s.Head.MinTime, MaxTime: s.Head.MaxTime,
		},
		SeriesCountByMetricName:     ranked(s.Index.SeriesByMetric),
		LabelValueCountByLabelName:  ranked(s.Index.ValuesByName),
		MemoryInBytesByLabelName:    ranked(s.Index.BytesByName),
		SeriesCountByLabelValuePair: ranked(s.Index.SeriesByPair),
	}
}

// blocks describes parts as Prometheus does its blocks; a part's identifier is made of its name.
func blocks(parts []storage.PartStats) []api.Block {
	out := make([]api.Block, len(parts))
	for i, p := range parts {
		var id ulid.ULID
		_ = id.SetTime(uint64(max(p.MinT, 0))) // Times beyond the year 10889 keep zero.
		hash := xxhash.Sum64String(p.Name)
		for j := range 8 {
			id[8+j] = byte(hash >> (8 * j))
		}
		out[i] = api.Block{
			ULID: id.String(), MinTime: p.MinT, MaxTime: p.MaxT + 1,
			Stats:      api.BlockStats{NumSamples: uint64(p.Samples), NumSeries: uint64(p.Series)},
			Compaction: api.BlockCompaction{Level: 1, Sources: []string{id.String()}},
			Version:    1,
		}
	}
	return out
}
