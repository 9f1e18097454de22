package head

import (
	"container/list"
	"strings"
	"sync"

	"github.com/barograph-db/barograph/storage/frame"
)

// metadata keeps what was last said of each metric family.
type metadata struct {
	room    int
	evicted func()
	mu      struct {
		sync.Mutex
		byMetric map[string]*list.Element
		entries  list.List // of frame.Metadata, the one updated last in front
	}
}

func (m *metadata) init(room int) {
	m.room = room
	m.mu.byMetric = map[string]*list.Element{}
}

// put takes entries in. Their strings may view a frame.
func (m *metadata) put(entries []frame.Metadata) {
	if len(entries) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range entries {
		e := m.mu.byMetric[x.Metric]
		if e == nil {
			x = ownedMetadata(x)
			m.mu.byMetric[x.Metric] = m.mu.entries.PushFront(x)
		} else {
			m.mu.entries.MoveToFront(e)
			if e.Value.(frame.Metadata) != x {
				e.Value = ownedMetadata(x)
			}
		}
		for len(m.mu.byMetric) > m.room {
			oldest := m.mu.entries.Remove(m.mu.entries.Back()).(frame.Metadata)
			delete(m.mu.byMetric, oldest.Metric)
			m.evicted()
		}
	}
}

func ownedMetadata(x frame.Metadata) frame.Metadata {
	return frame.Metadata{
		Metric: strings.Clone(x.Metric), Type: strings.Clone(x.Type),
		Help: strings.Clone(x.Help), Unit: strings.Clone(x.Unit),
	}
}

// Metadata returns what is known of each metric family, what was updated longest ago first.
func (h *Head) Metadata() []frame.Metadata {
	m := &h.metadata
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]frame.Metadata, 0, len(m.mu.byMetric))
	for e := m.mu.entries.Back(); e != nil; e = e.Prev() {
		out = append(out, e.Value.(frame.Metadata))
	}
	return out
}
