package stream

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/storagetest"
)

// TestConformance holds a storage that is written through a stream to the oracle. Now and then the
// connection is cut.
func TestConformance(t *testing.T) {
	disks := map[string]*vfs.MemFS{}
	generation := uint32(0)
	storagetest.Run(t, func(t *testing.T, dir string) storagetest.Store {
		if disks[dir] == nil {
			if len(disks) >= 4 && strings.Contains(t.Name(), "random") {
				t.Skip("the storage's own test has more seeds")
			}
			disks[dir] = vfs.NewMem()
		}
		generation++
		return openStreamed(t, disks[dir], generation)
	})
}

// streamed is a DB whose samples come over a stream, with references of the sender's own.
type streamed struct {
	*storage.DB
	network
	sender *Sender
	stop   func()

	generation uint32
	mu         struct {
		sync.Mutex
		refs    map[string]series.Ref
		labels  []series.Labels
		appends int
	}
}

func openStreamed(t *testing.T, fs vfs.FS, generation uint32) *streamed {
	db, err := storage.Open("data", storage.Options{FS: fs, Retention: 100 * 365 * 24 * time.Hour})
	require.NoError(t, err)
	s := &streamed{DB: db, generation: generation}
	s.mu.refs = map[string]series.Ref{}
	senders, err := NewSenders(Options{Labels: s.labelsOf})
	require.NoError(t, err)
	r, err := NewReceiver(gathered(db), ReceiverOptions{})
	require.NoError(t, err)
	s.set(r)
	s.sender = senders.New("peer", s.open, func() bool { return false })
	ctx, cancel := context.WithCancel(context.Background())
	dbCtx, stopDB := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { _ = s.sender.Run(ctx) })
	var running sync.WaitGroup
	running.Go(func() {
		if err := db.Run(dbCtx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	s.stop = func() {
		cancel()
		group.Wait()
		s.served.Wait()
		stopDB()
		running.Wait()
	}
	return s
}

func (s *streamed) labelsOf(ref series.Ref) series.Labels {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref.Generation() != s.generation || int(ref.Index()) >= len(s.mu.labels) {
		return nil
	}
	return s.mu.labels[ref.Index()]
}

func (s *streamed) Refs(_ context.Context, dst []series.Ref, sets []series.Labels) ([]series.Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ls := range sets {
		ref := s.mu.refs[string(ls)]
		if ref == 0 {
			ref = series.MakeRef(uint32(len(s.mu.labels)), s.generation)
			s.mu.refs[string(ls)] = ref
			s.mu.labels = append(s.mu.labels, series.Labels(string(ls)))
		}
		dst = append(dst, ref)
	}
	return dst, nil
}

func (s *streamed) Append(_ context.Context, f *frame.Frame) ([]frame.Rejected, error) {
	s.mu.Lock()
	if s.mu.appends++; s.mu.appends%50 == 0 {
		for _, p := range s.connections() {
			p.sever()
		}
	}
	s.mu.Unlock()
	for {
		o := newOutcome()
		err := s.sender.Send(f, o.done)
		if err == nil {
			err = o.wait()
		}
		if !errors.Is(err, ErrDown) {
			return o.rejected, err
		}
		time.Sleep(time.Millisecond) // As whoever is refused.
	}
}

func (s *streamed) Close() error {
	s.stop()
	return s.DB.Close()
}
