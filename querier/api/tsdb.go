package api

import (
	"errors"
	"strconv"

	"github.com/barograph-db/barograph/storage/cardinality"
)

// TSDBStats are the head's numbers and rankings, largest first.
type TSDBStats struct {
	HeadStats                   HeadStats `json:"headStats"`
	SeriesCountByMetricName     []Ranked  `json:"seriesCountByMetricName"`
	LabelValueCountByLabelName  []Ranked  `json:"labelValueCountByLabelName"`
	MemoryInBytesByLabelName    []Ranked  `json:"memoryInBytesByLabelName"`
	SeriesCountByLabelValuePair []Ranked  `json:"seriesCountByLabelValuePair"`
}

// HeadStats are the head's numbers; times are in milliseconds.
type HeadStats struct {
	NumSeries     uint64 `json:"numSeries"`
	NumLabelPairs int    `json:"numLabelPairs"`
	ChunkCount    int64  `json:"chunkCount"`
	MinTime       int64  `json:"minTime"`
	MaxTime       int64  `json:"maxTime"`
}

// Ranked is one line of a ranking.
type Ranked struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// RankedStats are those of what several nodes hold, with the limit largest of each ranking.
func RankedStats(c *cardinality.Counts, limit int) TSDBStats {
	ranked := func(list []cardinality.Ranked) []Ranked {
		out := make([]Ranked, len(list))
		for i, r := range list {
			out[i] = Ranked{Name: r.Name, Value: r.Value}
		}
		return out
	}
	return TSDBStats{
		HeadStats: HeadStats{
			NumSeries: c.Series, NumLabelPairs: int(c.Pairs.Count()), ChunkCount: int64(c.Chunks), MinTime: c.MinTime, MaxTime: c.MaxTime,
		},
		SeriesCountByMetricName:     ranked(cardinality.Top(c.Metrics, limit)),
		LabelValueCountByLabelName:  ranked(c.ByValues(limit)),
		MemoryInBytesByLabelName:    ranked(c.ByBytes(limit)),
		SeriesCountByLabelValuePair: ranked(cardinality.Top(c.Labels, limit)),
	}
}

// Block describes a part on disk in the terms of Prometheus' blocks.
type Block struct {
	// ULID has the form of one; Prometheus' clients expect 26 characters of Crockford's base 32.
	ULID string `json:"ulid"`
	// MinTime and MaxTime in milliseconds; MaxTime is exclusive, as Prometheus has it.
	MinTime    int64           `json:"minTime"`
	MaxTime    int64           `json:"maxTime"`
	Stats      BlockStats      `json:"stats"`
	Compaction BlockCompaction `json:"compaction"`
	Version    int             `json:"version"`
}

// BlockStats are the numbers of a part.
type BlockStats struct {
	NumSamples    uint64 `json:"numSamples,omitempty"`
	NumSeries     uint64 `json:"numSeries,omitempty"`
	NumChunks     uint64 `json:"numChunks,omitempty"`
	NumTombstones uint64 `json:"numTombstones,omitempty"`
}

// BlockCompaction says how often the part was written anew.
type BlockCompaction struct {
	Level   int      `json:"level"`
	Sources []string `json:"sources,omitempty"`
}

// WALReplay says how far reading the log has come, in segments.
type WALReplay struct {
	Min     int `json:"min"`
	Max     int `json:"max"`
	Current int `json:"current"`
}

const (
	defaultRanked = 10
	maxRanked     = 10_000
)

func (a *API) statusTSDB(r request) (answer, error) {
	limit := defaultRanked
	if s := r.value("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return answer{}, failf(badData, "limit must be a positive number")
		}
		if n > maxRanked {
			return answer{}, failf(badData, "limit must not exceed %d", maxRanked)
		}
		limit = n
	}
	if a.opts.Store.Stats == nil {
		return answer{}, fail(notFound, errNoStorage)
	}
	stats, err := a.opts.Store.Stats(r.Context(), limit)
	if err != nil {
		return answer{}, err
	}
	for _, ranking := range []*[]Ranked{
		&stats.SeriesCountByMetricName, &stats.LabelValueCountByLabelName,
		&stats.MemoryInBytesByLabelName, &stats.SeriesCountByLabelValuePair,
	} {
		if *ranking == nil {
			*ranking = []Ranked{}
		}
	}
	return answer{data: stats}, nil
}

func (a *API) statusBlocks(r request) (answer, error) {
	blocks := []Block{}
	if a.opts.Store.Blocks != nil {
		found, err := a.opts.Store.Blocks(r.Context())
		if err != nil {
			return answer{}, failf(internal, "error getting block metadata: %w", err)
		}
		blocks = append(blocks, found...)
	}
	return answer{data: map[string][]Block{"blocks": blocks}}, nil
}

func (a *API) statusWALReplay(request) (answer, error) {
	var progress WALReplay
	if a.opts.Store.WALReplay != nil {
		var err error
		if progress, err = a.opts.Store.WALReplay(); err != nil {
			return answer{}, fail(internal, err)
		}
	}
	return answer{data: progress}, nil
}

// errNoStorage is what the storage's numbers answer on a node that keeps nothing.
var errNoStorage = errors.New("this node has no storage to report on")
