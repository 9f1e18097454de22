package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/barograph-db/barograph/cluster/placement"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
)

// Store is what a Receiver writes to. Reference zero is no series: it answers it with
// frame.UnknownRef, as one that it has forgotten.
type Store interface {
	// Refs appends to dst the reference of each label set, creating the series that are missing.
	// It keeps nothing of sets.
	Refs(ctx context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error)
	// Add takes f, of about so many bytes, in memory, and may wait until it can; an error says that ctx
	// ended meanwhile. Frames are stored in the order of the calls. done is called once: with the samples that
	// were refused, in the order of the frame, when all others are stored, or with an error. It does not
	// block. What it returns is to be called when other frames that were stored together with it are done.
	Add(ctx context.Context, f *frame.Frame, bytes int, done func([]frame.Rejected, error) (after func())) error
}

// Receiver serves the streams of other nodes' senders. Its methods may be called concurrently.
type Receiver struct {
	store   Store
	opts    ReceiverOptions
	metrics *receiverMetrics

	mu struct {
		sync.Mutex
		senders map[senderKey]*sender
		streams map[placement.NodeID]int
	}
}

type senderKey struct {
	node placement.NodeID
	id   uint64
}

type sender struct {
	key      senderKey
	heard    time.Time
	answered uint64
	missed   uint64
	behind   bool
	epoch    uint64
	streams  int
}

// Heard is what is known of a sender.
type Heard struct {
	Node placement.NodeID
	// ID is that of the node's process; another one is another process, or a sender beside it.
	ID uint64
	// At is when it was last heard. A stream that waits for the store is not listened to.
	At time.Time
	// Answered is the number up to which all of its frames are answered: stored, or refused for a reason
	// that the sender knows. Frames that the sender gave up before it sent them have no place in this.
	Answered uint64
	// Missed is how many frames the sender did not bring here, as it said when it was last heard. It
	// may be too many: the answer to a frame may have been lost.
	Missed uint64
	// Behind says that there are frames for this node which the sender's keeps elsewhere until they are
	// brought, or that it has not said yet that there are none.
	Behind bool
	// Epoch of the placement that it sent by when it was last heard.
	Epoch uint64
	// Streams is the number of its streams that are open.
	Streams int
}

// NewReceiver returns a Receiver over store.
func NewReceiver(store Store, opts ReceiverOptions) (*Receiver, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	r := &Receiver{store: store, opts: opts, metrics: newReceiverMetrics(opts.Registerer)}
	r.mu.senders = make(map[senderKey]*sender)
	r.mu.streams = make(map[placement.NodeID]int)
	return r, nil
}

// Serve serves a stream of the node from until it ends, and returns nil where it ended in order. conn
// must fail once ctx has ended.
func (r *Receiver) Serve(ctx context.Context, from placement.NodeID, conn Conn) error {
	msg, err := conn.Recv(nil)
	if err != nil {
		return fmt.Errorf("wait for hello: %w", err)
	}
	id, err := readHello(msg)
	if err != nil {
		return fmt.Errorf("read hello: %w", err)
	}
	s, err := r.enter(senderKey{node: from, id: id}, time.Now())
	if err != nil {
		return err
	}
	if err = conn.Send(appendWelcome(nil, uint32(r.opts.MaxRefs))); err == nil {
		err = r.newIncoming(conn, s).serve(ctx)
	}
	r.leave(s, err == nil)
	if err != nil {
		r.metrics.broken.Inc()
	}
	return err
}

// Senders is what is known of all senders, in order of node and ID: those with streams, and for some
// time those whose streams broke.
func (r *Receiver) Senders() []Heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Heard, 0, len(r.mu.senders))
	for _, s := range r.mu.senders {
		list = append(list, Heard{
			Node: s.key.node, ID: s.key.id, At: s.heard,
			Answered: s.answered, Missed: s.missed, Behind: s.behind, Epoch: s.epoch, Streams: s.streams,
		})
	}
	slices.SortFunc(list, func(a, b Heard) int { return cmp.Or(a.Node.Compare(b.Node), cmp.Compare(a.ID, b.ID)) })
	return list
}

// Silent are those senders of whom nothing was heard for Options.Silence. Whether their nodes live is
// for others to know.
func (r *Receiver) Silent(now time.Time) []Heard {
	return slices.DeleteFunc(r.Senders(), func(h Heard) bool { return now.Sub(h.At) < r.opts.Silence })
}

// enter notes that a sender has another stream.
func (r *Receiver) enter(key senderKey, now time.Time) (*sender, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.streams[key.node] >= r.opts.MaxStreams {
		r.metrics.turnedAway.Inc()
		return nil, fmt.Errorf("node %s has %d streams, the limit is %d", key.node, r.mu.streams[key.node], r.opts.MaxStreams)
	}
	s := r.mu.senders[key]
	if s == nil {
		r.makeRoomLocked(now)
		if len(r.mu.senders) >= r.opts.MaxSenders {
			r.metrics.turnedAway.Inc()
			return nil, errors.New("too many senders")
		}
		s = &sender{key: key}
		r.mu.senders[key] = s
	}
	if s.streams++; s.streams == 1 {
		s.behind = true
	}
	s.heard = now
	r.mu.streams[key.node]++
	r.metrics.streams.Inc()
	return s, nil
}

// makeRoomLocked forgets senders that were silent for long, and one more where there are too many.
func (r *Receiver) makeRoomLocked(now time.Time) {
	var oldest *sender
	for key, s := range r.mu.senders {
		if s.streams > 0 {
			continue
		}
		if now.Sub(s.heard) > r.opts.Remember {
			delete(r.mu.senders, key)
		} else if oldest == nil || s.heard.Before(oldest.heard) {
			oldest = s
		}
	}
	if oldest != nil && len(r.mu.senders) >= r.opts.MaxSenders {
		delete(r.mu.senders, oldest.key)
	}
}

// leave ends a stream. A sender that closed its last one in order has ended, and is forgotten.
func (r *Receiver) leave(s *sender, inOrder bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.streams--
	if r.mu.streams[s.key.node]--; r.mu.streams[s.key.node] == 0 {
		delete(r.mu.streams, s.key.node)
	}
	if inOrder && s.streams == 0 {
		delete(r.mu.senders, s.key)
	}
	r.metrics.streams.Dec()
}

// heard notes a message. The count of an old stream may come after that of a new one.
func (r *Receiver) heard(s *sender, t tidings, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.heard, s.missed, s.behind, s.epoch = now, max(s.missed, t.missed), t.behind, t.epoch
}

func (r *Receiver) answered(s *sender, seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.answered = max(s.answered, seq)
}
