package node

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	simSeries  = 40 // over 256 shards
	simBatch   = 6  // samples
	simLateMax = 40 * time.Second
	// seenAfter is how long after its acknowledgement a sample must be found.
	seenAfter = time.Second
)

// books are what was sent: every sample has a value of its own.
type books struct {
	mu struct {
		sync.Mutex
		samples map[sampleKey]*sent
		last    int // value
		batches int
		acked   int
	}
}

type sampleKey struct {
	series int
	t      int64
}

type sent struct {
	value float64
	batch int
	acked time.Time // zero: the answer was none or a refusal, so it may be there or not
}

func newBooks() *books {
	l := &books{}
	l.mu.samples = map[sampleKey]*sent{}
	return l
}

// batch makes samples of which none was sent before.
func (l *books) batch(rng *rand.Rand, now time.Time) (number int, keys []sampleKey, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.batches++
	var b strings.Builder
	for len(keys) < simBatch {
		key := sampleKey{rng.IntN(simSeries), now.UnixMilli()}
		if rng.IntN(8) == 0 {
			key.t -= rng.Int64N(simLateMax.Milliseconds())
		}
		if l.mu.samples[key] != nil {
			continue
		}
		l.mu.last++
		value := float64(l.mu.last) + rng.Float64()
		l.mu.samples[key] = &sent{value: value, batch: l.mu.batches}
		keys = append(keys, key)
		fmt.Fprintf(&b, "sim{i=\"%d\"} %v %d\n", key.series, value, key.t)
	}
	return l.mu.batches, keys, b.String()
}

func (l *books) acknowledge(keys []sampleKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.acked++
	for _, k := range keys {
		l.mu.samples[k].acked = time.Now()
	}
}

// compare returns what is wrong with what was read of some times, at a moment.
func (l *books) compare(got map[sampleKey]float64, mint, maxt int64, at time.Time) (wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, v := range got {
		switch s := l.mu.samples[k]; {
		case s == nil:
			wrong = append(wrong, fmt.Sprintf("series %d at %d has %v, which was never sent", k.series, k.t, v))
		case math.Float64bits(s.value) != math.Float64bits(v):
			wrong = append(wrong, fmt.Sprintf("series %d at %d has %v, sent was %v", k.series, k.t, v, s.value))
		}
	}
	for k, s := range l.mu.samples {
		if _, ok := got[k]; ok || s.acked.IsZero() || at.Sub(s.acked) < seenAfter || k.t < mint || k.t > maxt {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("series %d at %d is missing, acknowledged %s before (batch %d)", k.series, k.t, at.Sub(s.acked), s.batch))
	}
	slices.Sort(wrong)
	return wrong
}

// write sends batches through nodes by chance until ctx ends. One that is not taken is sent again, to
// another node.
func (f *fleet) write(ctx context.Context, rng *rand.Rand, l *books) {
	for pause(ctx, time.Duration(rng.IntN(400))*time.Millisecond) {
		number, keys, body := l.batch(rng, time.Now())
		for range 3 {
			n := f.nodes[rng.IntN(len(f.nodes))]
			p := n.running()
			if p == nil {
				continue
			}
			limit, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			w := p.do(limit, http.MethodPost, "/api/v1/import/prometheus", strings.NewReader(body))
			cancel()
			if w.Code == http.StatusOK && n.runs(p) {
				l.acknowledge(keys)
				f.note("batch %d acknowledged by %s", number, n.name)
				break
			}
			if n.runs(p) && w.Code != http.StatusServiceUnavailable && w.Code != http.StatusOK {
				f.fail("batch %d by %s: %d %s", number, n.name, w.Code, w.Body)
			}
		}
	}
}

// pause waits, and reports whether there is more to do.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// ask sends queries to nodes by chance until ctx ends. An answer may be an error, but never wrong.
func (f *fleet) ask(ctx context.Context, rng *rand.Rand, l *books) (answers, errors int) {
	for pause(ctx, time.Duration(rng.IntN(1000))*time.Millisecond) {
		n := f.nodes[rng.IntN(len(f.nodes))]
		p := n.running()
		if p == nil {
			continue
		}
		end := time.Now().Add(-time.Duration(rng.IntN(30_000)) * time.Millisecond)
		if rng.IntN(2) == 0 {
			end = time.Now()
		}
		ok, wrong := f.query(p, l, end, time.Duration(1+rng.IntN(40))*time.Second)
		if !ok || !n.runs(p) {
			errors++
			continue
		}
		answers++
		if len(wrong) > 0 {
			f.fail("a query to %s for (%s, %s]:\n\t%s", n.name, end.Add(-40*time.Second), end, strings.Join(head(wrong, 8), "\n\t"))
		}
	}
	return answers, errors
}

func head(list []string, n int) []string {
	if len(list) <= n {
		return list
	}
	return append(slices.Clone(list[:n]), fmt.Sprintf("and %d more", len(list)-n))
}

// query reads all series of some times, and says what is wrong with the answer, if it is a complete
// one.
func (f *fleet) query(p *process, l *books, end time.Time, length time.Duration) (ok bool, wrong []string) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	form := url.Values{
		"query": {fmt.Sprintf("sim[%dms]", length.Milliseconds())},
		"time":  {strconv.FormatFloat(float64(end.UnixMilli())/1000, 'f', 3, 64)},
	}
	w := p.do(ctx, http.MethodGet, "/api/v1/query?"+form.Encode(), nil)
	var a struct {
		Warnings []string
		Data     struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if w.Code != http.StatusOK {
		return false, nil
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		return true, []string{err.Error()}
	}
	if len(a.Warnings) > 0 {
		return false, nil
	}
	got := map[sampleKey]float64{}
	for _, s := range a.Data.Result {
		i, err := strconv.Atoi(s.Metric["i"])
		if err != nil || len(s.Metric) != 2 {
			wrong = append(wrong, fmt.Sprintf("series %v was never sent", s.Metric))
		}
		for _, v := range s.Values {
			value, _ := strconv.ParseFloat(v[1].(string), 64)
			key := sampleKey{i, int64(math.Round(v[0].(float64) * 1000))}
			if _, twice := got[key]; twice {
				wrong = append(wrong, fmt.Sprintf("series %d has two samples at %d", i, key.t))
			}
			got[key] = value
		}
	}
	return true, append(wrong, l.compare(got, end.Add(-length).UnixMilli()+1, end.UnixMilli(), began)...)
}
