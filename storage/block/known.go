package block

import (
	"github.com/barograph-db/barograph/storage/keys"
	"github.com/barograph-db/barograph/storage/series"
)

// sparse is up to how many series picked from a block of label rows have their labels cached. The
// series of a metric lie apart, one or a few in each shard, and a dashboard asks for the same ones
// all day: to find the block and to decode half of it for each of them takes as long as reading and
// evaluating an hour of its samples.
const sparse = 4

// knownLabels gives the labels of picks, from the cache where they are sparse.
type knownLabels struct {
	*selection
	rows   *rowReader
	text   *labelReader
	kept   arena[byte]
	end    int  // of the picks that are in the block at hand
	sparse bool // these are few
}

// seriesLabels are the labels of one series in the cache.
type seriesLabels struct {
	fingerprint series.Fingerprint
	text        series.Labels
	shared      bool // with the cache: they stay valid
}

func (l *seriesLabels) size() int64 { return int64(len(l.text)) + 48 }

func (s *selection) newKnownLabels(rows *rowReader) *knownLabels {
	k := &knownLabels{selection: s, rows: rows, text: newLabelReader(s.part, s.reader, s.header)}
	k.text.take = s.take
	k.kept = arena[byte]{take: s.take}
	k.kept.expect(cap(s.result) * 128)
	return k
}

// of returns the labels of pick i, which stay valid until the next call if they are not shared. Picks
// come in their order.
func (k *knownLabels) of(i int) (seriesLabels, error) {
	ordinal := k.picks[i].ordinal
	block := ordinal / rowsPerBlock
	if i >= k.end {
		for k.end = i + 1; k.end < len(k.picks) && k.picks[k.end].ordinal/rowsPerBlock == block; {
			k.end++
		}
		k.sparse = k.end-i <= sparse
	}
	key := cacheKey{part: k.part.meta.Part, section: keys.Labels, block: ordinal}
	if k.sparse {
		if found, ok := k.part.cache.get(key).(*seriesLabels); ok {
			return *found, nil
		}
	}
	row, err := k.rows.at(block)
	if err != nil {
		return seriesLabels{}, err
	}
	text, err := k.text.labels(row, ordinal)
	if err != nil {
		return seriesLabels{}, err
	}
	ls := seriesLabels{fingerprint: text.Fingerprint(), text: text}
	if k.sparse {
		ls.text, ls.shared = append(series.Labels(nil), text...), true
		k.part.cache.put(key, &ls)
	}
	return ls, nil
}

// keep makes labels valid for as long as the result.
func (k *knownLabels) keep(ls seriesLabels) (series.Labels, error) {
	if ls.shared {
		return ls.text, k.take(int64(len(ls.text)))
	}
	return k.kept.clone(ls.text)
}
