package wire_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/barograph-db/barograph/querier/leaf"
	"github.com/barograph-db/barograph/querier/leaf/wire"
	"github.com/barograph-db/barograph/querier/queriertest"
	"github.com/barograph-db/barograph/storage"
	"github.com/barograph-db/barograph/storage/chunk"
	"github.com/barograph-db/barograph/storage/frame"
	"github.com/barograph-db/barograph/storage/series"
	"github.com/barograph-db/barograph/storage/storagetest"
	"github.com/barograph-db/barograph/storage/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limits allow so many bytes.
type limits struct{ bytes int64 }

var errFull = errors.New("the node is full")

func (l limits) Admit(context.Context) (*wire.Admission, error) {
	left := l.bytes
	return &wire.Admission{
		Take: func(n int64) error {
			if left -= n; left < 0 {
				return errFull
			}
			return nil
		},
		Matchers: func(sent []wire.Matcher) ([]*labels.Matcher, error) {
			var ms []*labels.Matcher
			for _, m := range sent {
				compiled, err := labels.NewMatcher(m.Type, m.Name, m.Value)
				if err != nil {
					return nil, err
				}
				ms = append(ms, compiled)
			}
			return ms, nil
		},
		Worked: func() {},
		Close:  func() {},
	}, nil
}

func (limits) Failure(err error) leaf.Failure {
	return leaf.Failure{Kind: 7, Elsewhere: !errors.Is(err, errFull), Text: "refused: " + err.Error()}
}

// serve returns a way to the node, over streams of a few messages.
func serve(t testing.TB, node leaf.Node) (*wire.Remote, *queriertest.Network) {
	server := wire.NewServer(wire.ServerOptions{Node: node, Limits: limits{1 << 40}})
	n := &queriertest.Network{Handlers: server.Handlers(), Window: 2}
	t.Cleanup(n.Wait)
	return wire.NewRemote(n.Open), n
}

// apart is a store that is written to here and read from as another node.
type apart struct {
	*storage.DB
	*wire.Remote
	stop func()
}

func (a apart) Close() error {
	a.stop()
	return a.DB.Close()
}

func (a apart) Select(ctx context.Context, sel series.Selector) (chunk.SeriesSet, error) {
	return a.Remote.Select(ctx, sel)
}

func (a apart) LabelNames(ctx context.Context, sel series.Selector) ([]string, error) {
	return a.Remote.LabelNames(ctx, sel)
}

func (a apart) LabelValues(ctx context.Context, name string, sel series.Selector) ([]string, error) {
	return a.Remote.LabelValues(ctx, name, sel)
}

// TestConformance holds a DB that is another node's to the oracle.
func TestConformance(t *testing.T) {
	disks := map[string]vfs.FS{}
	storagetest.Run(t, func(t *testing.T, dir string) storagetest.Store {
		if disks[dir] == nil {
			if len(disks) > 4 && strings.Contains(t.Name(), "random") {
				t.Skip("package storage does the rest")
			}
			disks[dir] = vfs.NewMem()
		}
		db, stop := openDB(t, disks[dir])
		remote, _ := serve(t, leaf.New(db))
		return apart{db, remote, stop}
	})
}

func openDB(t testing.TB, fs vfs.FS) (*storage.DB, func()) {
	db, err := storage.Open("data", storage.Options{FS: fs, WALSync: wal.Off, Retention: 200 * 365 * 24 * time.Hour})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- db.Run(ctx) }()
	return db, func() {
		cancel()
		require.NoError(t, <-stopped)
	}
}

// fleet is a store with so many series of that many samples, some of which have more.
func fleet(t testing.TB, n, samples int) *queriertest.Mem {
	m := &queriertest.Mem{}
	var all []queriertest.Sample
	for i := range n {
		ls := series.FromStrings("__name__", "m", "i", fmt.Sprint(i), "text", strings.Repeat("x", i%40+1))
		for j := range samples {
			all = append(all, queriertest.Sample{Labels: ls, Sample: series.Sample{T: int64(j) * 1000, V: float64(i * j)}})
		}
	}
	require.NoError(t, m.Write(context.Background(), all))
	m.SetMetadata([]frame.Metadata{{Metric: "m", Type: "counter", Help: "helps", Unit: "s"}, {Metric: "n"}})
	m.AddExemplars(frame.ExemplarSeries{Labels: series.FromStrings("a", "b"), Exemplars: []frame.Exemplar{
		{T: 5, V: math.Inf(1), Labels: series.FromStrings("trace", "1")}, {T: 6, V: 2},
	}})
	return m
}

var (
	all      = []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m")}
	everyone = series.Selector{Matchers: all, Maxt: math.MaxInt64}
)

// list reads a set to its end.
func list(t testing.TB, n leaf.Node, sel series.Selector) ([]chunk.Series, error) {
	set, err := n.Select(context.Background(), sel)
	if err != nil {
		return nil, err
	}
	var out []chunk.Series
	for set.Next() {
		out = append(out, set.At())
	}
	require.False(t, set.Next())
	defer func() { require.NoError(t, set.Close()) }()
	return out, set.Err()
}

func TestAnswersAreThoseOfTheNode(t *testing.T) {
	ctx := context.Background()
	local := leaf.New(fleet(t, 3000, 30))
	remote, _ := serve(t, local)
	shards := &series.ShardSet{Bits: 3}
	shards.Add(2)
	shards.Add(7)
	none := labels.MustNewMatcher(labels.MatchEqual, "i", "nobody")
	for name, sel := range map[string]series.Selector{
		"all":         everyone,
		"times":       {Matchers: all, Mint: 3000, Maxt: 9000},
		"labels only": {Matchers: all, Maxt: math.MaxInt64, SkipChunks: true},
		"limit":       {Matchers: all, Maxt: math.MaxInt64, Limit: 17},
		"shards":      {Matchers: all, Maxt: math.MaxInt64, Shards: shards},
		"no shards":   {Matchers: all, Maxt: math.MaxInt64, Shards: &series.ShardSet{}},
		"none":        {Matchers: append(all[:1:1], none), Maxt: math.MaxInt64},
		"expressions": {Maxt: math.MaxInt64, Matchers: []*labels.Matcher{
			labels.MustNewMatcher(labels.MatchRegexp, "i", "1.*|20"), labels.MustNewMatcher(labels.MatchNotRegexp, "i", ".*5"),
			labels.MustNewMatcher(labels.MatchNotEqual, "text", "x"),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := list(t, local, sel)
			require.NoError(t, err)
			got, err := list(t, remote, sel)
			require.NoError(t, err)
			requireSame(t, want, got)
			for _, ask := range []func(leaf.Node) ([]string, error){
				func(n leaf.Node) ([]string, error) { return n.LabelNames(ctx, sel) },
				func(n leaf.Node) ([]string, error) { return n.LabelValues(ctx, "i", sel) },
				func(n leaf.Node) ([]string, error) { return n.LabelValues(ctx, "nobody", sel) },
			} {
				want, err := ask(local)
				require.NoError(t, err)
				got, err := ask(remote)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
		})
	}
	want, err := local.Exemplars(ctx, series.Selector{Maxt: 5}, all, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "a", "b")})
	require.NoError(t, err)
	got, err := remote.Exemplars(ctx, series.Selector{Maxt: 5}, all, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "a", "b")})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, want, got)
	wantMeta, err := local.Metadata(ctx)
	require.NoError(t, err)
	gotMeta, err := remote.Metadata(ctx)
	require.NoError(t, err)
	require.Equal(t, wantMeta, gotMeta)
	for _, sel := range []series.Selector{{Limit: 10}, {Limit: 20_000, Shards: shards}, {Shards: &series.ShardSet{}}} {
		want, err := local.Cardinality(ctx, sel)
		require.NoError(t, err)
		got, err := remote.Cardinality(ctx, sel)
		require.NoError(t, err)
		require.Equal(t, want.Append(nil), got.Append(nil))
		require.Equal(t, sel.Shards == nil, got.Series == 3000)
		full := errors.New("full")
		sel.Take = func(int64) error { return full }
		_, err = remote.Cardinality(ctx, sel)
		require.ErrorIs(t, err, full)
	}
}

// TestNodesSayWhatTheyDid at the end of an answer, as the node itself sees it.
func TestNodesSayWhatTheyDid(t *testing.T) {
	local := leaf.New(fleet(t, 3000, 30))
	remote, network := serve(t, local)
	sent := int64(0)
	network.Tap = func(_ int, msg []byte) error {
		sent += int64(len(msg))
		return nil
	}
	read := func(n leaf.Node, most int) (r leaf.Reading) {
		set, err := n.Select(leaf.Observe(context.Background(), func(got leaf.Reading) {
			require.Zero(t, r)
			r = got
		}), everyone)
		require.NoError(t, err)
		for range most {
			if !set.Next() {
				break
			}
		}
		require.NoError(t, set.Close())
		return r
	}
	here, there := read(local, 4000), read(remote, 4000)
	network.Wait()
	require.Equal(t, leaf.Reading{Series: 3000, Samples: 90_000, Bytes: here.Bytes, Whole: true}, here)
	require.Positive(t, here.Bytes)
	require.Equal(t, sent, there.Received)
	require.Positive(t, there.Worked)
	there.Received, there.Worked, there.Waited = 0, 0, 0
	require.Equal(t, here, there)

	here, there = read(local, 10), read(remote, 10)
	require.Equal(t, int64(10), here.Series)
	require.False(t, here.Whole)
	require.Positive(t, there.Received)
	there.Received = 0
	require.Zero(t, there, "it did not come to say so")
}

// late lets requests wait for their turn.
type late struct{ limits }

func (l late) Admit(ctx context.Context) (*wire.Admission, error) {
	time.Sleep(time.Minute)
	return l.limits.Admit(ctx)
}

// TestTimesOfNodes are told apart: before a request's turn, at work, and while who asked was behind.
func TestTimesOfNodes(t *testing.T) {
	_, err := list(t, remoteOf(t, leaf.New(fleet(t, 10, 3))), everyone) // What all share is not to be of the bubble.
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		local := leaf.New(fleet(t, 10, 3))
		server := wire.NewServer(wire.ServerOptions{Node: local, Limits: late{limits{1 << 40}}})
		n := &queriertest.Network{Handlers: server.Handlers(), Window: 1, Tap: func(int, []byte) error {
			time.Sleep(time.Hour)
			return nil
		}}
		var got leaf.Reading
		ctx := leaf.Observe(context.Background(), func(r leaf.Reading) { got = r })
		set, err := wire.NewRemote(n.Open).Select(ctx, everyone)
		require.NoError(t, err)
		for set.Next() {
		}
		require.NoError(t, set.Close())
		n.Wait()
		require.Equal(t, int64(10), got.Series)
		require.Equal(t, time.Minute, got.Waited)
		require.Zero(t, got.Worked)
	})
}

func remoteOf(t *testing.T, n leaf.Node) leaf.Node {
	remote, _ := serve(t, n)
	return remote
}

func requireSame(t testing.TB, want, got []chunk.Series) {
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].Fingerprint, got[i].Fingerprint)
		require.Equal(t, want[i].Labels, got[i].Labels)
		require.Len(t, got[i].Chunks, len(want[i].Chunks))
		for j := range want[i].Chunks {
			require.Equal(t, want[i].Chunks[j], got[i].Chunks[j])
		}
	}
}

// TestSharedTimes reads chunks whose timestamps are columns in common, from a part.
func TestSharedTimes(t *testing.T) {
	ctx := context.Background()
	db, stop := openDB(t, vfs.NewMem())
	defer func() {
		stop()
		require.NoError(t, db.Close())
	}()
	var sets []series.Labels
	for i := range 500 {
		sets = append(sets, series.FromStrings("__name__", "m", "i", fmt.Sprint(i), "instance", "a"))
	}
	refs, err := db.Refs(ctx, nil, sets)
	require.NoError(t, err)
	at := int64(storagetest.Base)
	for i := range int64(200) {
		at += 15_000 + i*i%7
		f := frame.Frame{Refs: refs}
		for j := range refs {
			f.Times, f.Values = append(f.Times, at), append(f.Values, float64(j)*float64(i))
		}
		_, err := db.Append(ctx, &f)
		require.NoError(t, err)
	}
	require.NoError(t, db.Flush(ctx))
	local := leaf.New(db)
	remote, _ := serve(t, local)
	want, err := list(t, local, everyone)
	require.NoError(t, err)
	got, err := list(t, remote, everyone)
	require.NoError(t, err)
	require.Len(t, got, len(sets))
	columns := map[*chunk.Times]bool{}
	for i := range want {
		require.Len(t, got[i].Chunks, len(want[i].Chunks))
		for j, c := range got[i].Chunks {
			require.NotNil(t, c.Times)
			columns[c.Times] = true
			wantT, wantV, err := chunk.Decode(nil, nil, want[i].Chunks[j])
			require.NoError(t, err)
			gotT, gotV, err := chunk.Decode(nil, nil, c)
			require.NoError(t, err)
			require.Equal(t, wantT, gotT)
			require.Equal(t, wantV, gotV)
		}
	}
	require.Less(t, len(columns), 10)
}

// TestLongSeries has series that are longer than a batch, a row and a message.
func TestLongSeries(t *testing.T) {
	var ss []chunk.Series
	for i, chunks := range []int{1, 9000, 3} {
		ls := series.FromStrings("i", fmt.Sprint(i))
		s := chunk.Series{Fingerprint: ls.Fingerprint(), Labels: ls}
		for at := range int64(chunks) {
			s.Chunks = append(s.Chunks, chunk.Chunk{Enc: chunk.XOR, Samples: 3, MinT: 10 * at, MaxT: 10*at + 5, Data: []byte(fmt.Sprint(at))})
		}
		if i == 2 {
			s.Chunks[1].Data = []byte(strings.Repeat("long", 200<<10))
		}
		ss = append(ss, s)
	}
	remote, _ := serve(t, fixed{series: sorted(ss)})
	got, err := list(t, remote, series.Selector{})
	require.NoError(t, err)
	requireSame(t, sorted(ss), got)
}

// TestCut ends the stream at every message: in order, and not.
func TestCut(t *testing.T) {
	local := leaf.New(fleet(t, 3000, 3))
	for _, how := range []error{errors.New("broken"), queriertest.ErrCutInOrder} {
		for at := 0; ; at++ {
			remote, n := serve(t, local)
			messages := 0
			n.Tap = func(i int, _ []byte) error {
				messages++
				if i == at {
					return how
				}
				return nil
			}
			got, err := list(t, remote, everyone)
			n.Wait()
			if at == messages {
				require.NoError(t, err)
				require.Len(t, got, 3000)
				require.Greater(t, messages, 4)
				break
			}
			require.Error(t, err, "cut at message %d", at)
			_, err = remote.LabelValues(context.Background(), "i", everyone)
			if at < 2 {
				require.Error(t, err)
			}
		}
	}
}

func TestChangedMessages(t *testing.T) {
	local := leaf.New(fleet(t, 300, 3))
	for what, change := range map[string]func(msg []byte) []byte{
		"empty":   func([]byte) []byte { return nil },
		"unknown": func(msg []byte) []byte { return append([]byte{77}, msg[1:]...) },
		"longer":  func(msg []byte) []byte { return append(msg, 1) },
		"shorter": func(msg []byte) []byte { return msg[:len(msg)-1] },
	} {
		_, n := serve(t, local)
		remote := wire.NewRemote(func(ctx context.Context, method string) (wire.ClientConn, error) {
			c, err := n.Open(ctx, method)
			return changed{c, change}, err
		})
		_, err := list(t, remote, everyone)
		require.Error(t, err, what)
		n.Wait()
	}
}

type changed struct {
	wire.ClientConn
	change func([]byte) []byte
}

func (c changed) Recv(dst []byte) ([]byte, error) {
	msg, err := c.ClientConn.Recv(dst)
	if err != nil {
		return nil, err
	}
	return c.change(msg), nil
}

// TestCloseEarly and a consumer that is slow: the server gets no further than the window.
func TestCloseEarly(t *testing.T) {
	remote, n := serve(t, leaf.New(fleet(t, 9000, 3)))
	sent := make(chan int, 1000)
	n.Tap = func(i int, _ []byte) error { sent <- i; return nil }
	set, err := remote.Select(context.Background(), everyone)
	require.NoError(t, err)
	require.True(t, set.Next())
	for i := range n.Window + 2 { // One is here, the window is full, and the last one waits.
		require.Equal(t, i, <-sent)
	}
	require.NoError(t, set.Close())
	n.Wait()
	require.Empty(t, sent)
	for set.Next() { // What is here already may be read.
	}
}

func TestContextEnds(t *testing.T) {
	remote, n := serve(t, leaf.New(fleet(t, 9000, 3)))
	ctx, cancel := context.WithCancel(context.Background())
	set, err := remote.Select(ctx, everyone)
	require.NoError(t, err)
	require.True(t, set.Next())
	cancel()
	for set.Next() { // Only the end matters.
	}
	require.ErrorIs(t, set.Err(), context.Canceled)
	require.NoError(t, set.Close())
	_, err = remote.Select(ctx, everyone)
	require.ErrorIs(t, err, context.Canceled)
	_, err = remote.LabelNames(ctx, everyone)
	require.ErrorIs(t, err, context.Canceled)
	n.Wait()
}

func TestBudgets(t *testing.T) {
	local := leaf.New(fleet(t, 3000, 3))
	remote, n := serve(t, local)
	for _, budget := range []int64{0, 100, 100_000, 200_000} {
		left := budget
		sel := everyone
		sel.Take = func(n int64) error {
			if left -= n; left < 0 {
				return errFull
			}
			return nil
		}
		_, err := list(t, remote, sel)
		require.ErrorIs(t, err, errFull)
		left = budget / 10
		_, err = remote.LabelValues(context.Background(), "i", sel)
		require.ErrorIs(t, err, errFull)
	}
	held := int64(0)
	sel := everyone
	sel.Take = func(n int64) error { held += n; return nil }
	got, err := list(t, remote, sel)
	require.NoError(t, err)
	bytes := int64(0)
	for _, s := range got {
		bytes += int64(len(s.Labels))
		for _, c := range s.Chunks {
			bytes += int64(len(c.Data))
		}
	}
	require.Greater(t, held, bytes)
	n.Wait()

	server := wire.NewServer(wire.ServerOptions{Node: local, Limits: limits{10_000}})
	small := &queriertest.Network{Handlers: server.Handlers(), Window: 2}
	_, err = list(t, wire.NewRemote(small.Open), everyone)
	var failure *leaf.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, leaf.Failure{Kind: 7, Text: "refused: the node is full"}, *failure)
	small.Wait()
}

func TestFailures(t *testing.T) {
	broken := errors.New(strings.Repeat("broken ", 1000))
	for _, node := range []fixed{{err: broken}, {series: sorted([]chunk.Series{{Labels: series.FromStrings("a", "b")}}), late: broken}} {
		registry := prometheus.NewRegistry()
		server := wire.NewServer(wire.ServerOptions{Node: node, Limits: limits{1 << 20}, Registerer: registry})
		n := &queriertest.Network{Handlers: server.Handlers(), Window: 2}
		_, err := list(t, wire.NewRemote(n.Open), series.Selector{})
		var failure *leaf.Failure
		require.ErrorAs(t, err, &failure)
		require.True(t, failure.Elsewhere)
		require.True(t, strings.HasPrefix(failure.Text, "refused: broken broken"))
		n.Wait()
		count, err := testutil.GatherAndCount(registry, "barograph_wire_requests_total", "barograph_wire_sent_bytes_total")
		require.NoError(t, err)
		require.Equal(t, 2, count)
	}
	closed := errors.New("no way there")
	remote := wire.NewRemote(func(context.Context, string) (wire.ClientConn, error) { return nil, closed })
	_, err := remote.Metadata(context.Background())
	require.ErrorIs(t, err, closed)
}

// A node tells by which epoch it refuses, and is told by which it is asked, and for what.
func TestStale(t *testing.T) {
	ctx := leaf.At(context.Background(), 7)
	shards := &series.ShardSet{Bits: 3}
	shards.Add(5)
	stale := &leaf.Failure{Kind: 3, Elsewhere: true, Stale: true, Epoch: 300, Text: "not here"}
	var refuse error
	registry := prometheus.NewRegistry()
	server := wire.NewServer(wire.ServerOptions{
		Node: leaf.Holding(leaf.New(&queriertest.Mem{}), func(_ context.Context, epoch uint64, asked *series.ShardSet) error {
			require.Equal(t, uint64(7), epoch)
			require.Equal(t, shards, asked)
			return refuse
		}), Limits: limits{1 << 20}, Registerer: registry,
	})
	n := &queriertest.Network{Handlers: server.Handlers(), Window: 2}
	defer n.Wait()
	remote, sel := wire.NewRemote(n.Open), series.Selector{Maxt: 9, Shards: shards}
	questions := map[string]func() error{
		"select": func() error {
			set, err := remote.Select(ctx, sel)
			if err == nil {
				err = set.Close()
			}
			return err
		},
		"names":     func() error { _, err := remote.LabelNames(ctx, sel); return err },
		"values":    func() error { _, err := remote.LabelValues(ctx, "job", sel); return err },
		"exemplars": func() error { _, err := remote.Exemplars(ctx, sel); return err },
	}
	for name, ask := range questions {
		refuse = nil
		require.NoError(t, ask(), name)
		refuse = fmt.Errorf("wrapped: %w", stale)
		var failure *leaf.Failure
		require.ErrorAs(t, ask(), &failure, name)
		require.Equal(t, stale, failure)
	}
	_, err := remote.Metadata(context.Background())
	require.NoError(t, err, "it is of no shard")
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP barograph_wire_stale_requests_total Requests of other nodes that were refused since this one does not hold the shards by the placement it knows.
# TYPE barograph_wire_stale_requests_total counter
barograph_wire_stale_requests_total 4
`), "barograph_wire_stale_requests_total"))
}
