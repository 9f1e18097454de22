package ledger_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/ledger"
	"github.com/barograph-db/barograph/ruler/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

func apply(t *testing.T, s *ledger.State, c ledger.Command) (*ledger.Result, error) {
	t.Helper()
	return ledger.DecodeResult(s.Apply(c.Encode()), len(c.Evaluated))
}

func must(t *testing.T, s *ledger.State, c ledger.Command) {
	t.Helper()
	_, err := apply(t, s, c)
	require.NoError(t, err)
}

func source(namespace, name string) ledger.Source {
	return ledger.Source{Namespace: namespace, Name: name, YAML: "name: " + name + "\nrules: []\n"}
}

func view(s *ledger.State) *ledger.View {
	v, _ := s.View()
	return v
}

func names(s *ledger.State) (out []string) {
	for _, g := range view(s).Groups {
		out = append(out, g.Key.String())
	}
	return out
}

var someAlert = &alert.Alert{
	Labels: labels.FromStrings("alertname", "Down", "instance", "a"), Annotations: labels.FromStrings("summary", "it is <down>"),
	State: alert.Firing, Value: math.Inf(1), ActiveAt: 1000, FiredAt: 2000, LastSentAt: 2000, ValidUntil: 242000,
}

// put is an evaluation of a group after which a rule has some alerts, of which there were others before.
func put(k rules.Key, lease, edit uint64, at int64, before, after []*alert.Alert) ledger.Evaluated {
	e := ledger.Evaluated{
		Namespace: k.Namespace, Name: k.Name, Lease: lease, Edit: edit, At: at, Began: at + 3, Seconds: 0.25,
		Rules: []ledger.Report{{ID: 7, Seconds: 0.2, Series: 2}, {ID: math.MaxUint64, Err: "no"}},
	}
	if c, ok := ledger.Changes(before, after); ok {
		c.Rule = 7
		e.Alerts = append(e.Alerts, c)
	}
	return e
}

func TestGroupsComeAndGo(t *testing.T) {
	s := ledger.New()
	must(t, s, ledger.Command{Files: &ledger.Files{Node: "n1", Digest: "d1", Groups: []ledger.Source{source("f", "a"), source("f", "b")}}})
	must(t, s, ledger.Command{Set: &ledger.Set{Source: source("team", "a")}})
	must(t, s, ledger.Command{Set: &ledger.Set{Source: source("team", "b")}})
	require.Equal(t, []string{"f;a", "f;b", "team;a", "team;b"}, names(s))
	require.Equal(t, map[string]string{"n1": "d1"}, view(s).Digests)

	_, err := apply(t, s, ledger.Command{Set: &ledger.Set{Source: source("f", "a")}})
	require.ErrorContains(t, err, "by a rule file")
	_, err = apply(t, s, ledger.Command{Files: &ledger.Files{Node: "n2", Digest: "d2", Groups: []ledger.Source{source("team", "a")}}})
	require.ErrorContains(t, err, "by the rule API")
	_, err = apply(t, s, ledger.Command{Files: &ledger.Files{Node: "n2", Digest: "d2", Groups: []ledger.Source{source("f", "a"), source("f", "a")}}})
	require.ErrorContains(t, err, "twice")
	_, err = apply(t, s, ledger.Command{Set: &ledger.Set{Source: ledger.Source{Namespace: "team", Name: "c"}}})
	require.EqualError(t, err, ledger.ErrNotFound.Error())
	require.Equal(t, []string{"f;a", "f;b", "team;a", "team;b"}, names(s))

	edit := view(s).Groups[0].Edit
	must(t, s, ledger.Command{Files: &ledger.Files{Node: "n2", Digest: "d2", Groups: []ledger.Source{source("f", "a")}}})
	require.Equal(t, edit, view(s).Groups[0].Edit, "the text is the same")
	must(t, s, ledger.Command{Set: &ledger.Set{Source: ledger.Source{Namespace: "team", Name: "a"}}})
	require.Equal(t, []string{"f;a", "team;b"}, names(s))
	must(t, s, ledger.Command{Set: &ledger.Set{Source: ledger.Source{Namespace: "team"}}})
	require.Equal(t, []string{"f;a"}, names(s))
}

func TestLeasesFence(t *testing.T) {
	s, k := ledger.New(), rules.Key{Namespace: "f", Name: "a"}
	must(t, s, ledger.Command{Files: &ledger.Files{Node: "n1", Digest: "d1", Groups: []ledger.Source{source("f", "a")}}})
	assign := func(lease uint64, to string) error {
		_, err := apply(t, s, ledger.Command{Assign: &ledger.Assign{Lease: lease, Owners: []ledger.Owning{{Node: to, Groups: []rules.Key{k}}}}})
		return err
	}
	require.NoError(t, assign(1, "n1"))
	require.ErrorContains(t, assign(1, "n2"), "not the one after")
	require.ErrorContains(t, assign(3, "n2"), "not the one after")
	evaluate := func(e ledger.Evaluated) ledger.Verdict {
		r, err := apply(t, s, ledger.Command{Evaluated: []ledger.Evaluated{e}})
		require.NoError(t, err)
		return r.Verdicts[0]
	}
	alerts := []*alert.Alert{someAlert}
	require.Equal(t, ledger.Taken, evaluate(put(k, 1, 1, 5000, nil, alerts)))
	require.Equal(t, ledger.Done, evaluate(put(k, 1, 1, 5000, nil, alerts)))
	require.Equal(t, ledger.Edited, evaluate(put(k, 1, 2, 6000, nil, nil)))
	require.Equal(t, ledger.Gone, evaluate(put(rules.Key{Name: "x"}, 1, 1, 6000, nil, nil)))
	require.NoError(t, assign(2, "n2"))
	require.Equal(t, ledger.Replaced, evaluate(put(k, 1, 1, 6000, alerts, nil)))
	g := view(s).Group(k)
	require.Equal(t, "n2", g.Owner)
	require.EqualValues(t, 5000, g.At)
	require.Equal(t, alerts, g.Alerts[7])
	require.NoError(t, assign(3, "n2"))
	require.EqualValues(t, 2, view(s).Group(k).Lease, "it has it already")
	require.Equal(t, ledger.Taken, evaluate(put(k, 2, 1, 6000, alerts, nil)))
	require.Empty(t, view(s).Group(k).Alerts)
}

// The alerts of a rule that is not in the evaluation are forgotten.
func TestAlertsOfRulesThatAreNoMore(t *testing.T) {
	s, k := ledger.New(), rules.Key{Namespace: "team", Name: "a"}
	must(t, s, ledger.Command{Set: &ledger.Set{Source: source("team", "a")}})
	e := put(k, 0, 1, 1000, nil, []*alert.Alert{someAlert})
	must(t, s, ledger.Command{Evaluated: []ledger.Evaluated{e}})
	require.Len(t, view(s).Group(k).Alerts, 1)
	e = put(k, 0, 1, 2000, nil, nil)
	e.Rules = e.Rules[1:]
	must(t, s, ledger.Command{Evaluated: []ledger.Evaluated{e}})
	require.Empty(t, view(s).Group(k).Alerts)
}

func TestFull(t *testing.T) {
	s, k := ledger.New(), rules.Key{Namespace: "team", Name: "a"}
	must(t, s, ledger.Command{Set: &ledger.Set{Source: source("team", "a")}})
	long := strings.Repeat("x", 12<<20)
	var all []*alert.Alert
	verdict := ledger.Taken
	for at := int64(1); verdict == ledger.Taken; at++ {
		require.Less(t, at, int64(20))
		more := append(all[:len(all):len(all)], &alert.Alert{Labels: labels.FromStrings("n", strconv.FormatInt(at+100, 10), "x", long), State: alert.Pending})
		r, err := apply(t, s, ledger.Command{Evaluated: []ledger.Evaluated{put(k, 0, 1, at, all, more)}})
		require.NoError(t, err)
		if verdict = r.Verdicts[0]; verdict == ledger.Taken {
			all = more
		}
	}
	require.Equal(t, ledger.Full, verdict)
	require.Len(t, view(s).Group(k).Alerts[7], len(all))
	big := source("team", "b")
	big.YAML += "#" + long
	_, err := apply(t, s, ledger.Command{Set: &ledger.Set{Source: big}})
	require.ErrorContains(t, err, "allowed")
}

// Nodes that apply the same commands have the same snapshots, also when one begins from a snapshot.
func TestNodesAgree(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		one, two, three := ledger.New(), ledger.New(), ledger.New()
		for range 100 {
			data := randomCommand(rnd, view(one))
			result := one.Apply(data)
			require.Equal(t, result, two.Apply(data))
			require.Equal(t, result, three.Apply(data))
			if rnd.IntN(10) == 0 {
				snapshot, err := two.Snapshot()
				require.NoError(t, err)
				three = ledger.New()
				require.NoError(t, three.Restore(snapshot))
			}
		}
		want, err := one.Snapshot()
		require.NoError(t, err)
		for _, s := range []*ledger.State{two, three} {
			got, err := s.Snapshot()
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		}
	}
}

func randomCommand(rnd *rand.Rand, v *ledger.View) []byte {
	name := func() string { return string(rune('a' + rnd.IntN(5))) }
	text := func(ns string) ledger.Source {
		s := source(ns, name())
		s.YAML += strings.Repeat("#", rnd.IntN(3))
		return s
	}
	var c ledger.Command
	switch rnd.IntN(7) {
	case 6:
		c.Carry = &ledger.Record{Source: text("f"), Origin: ledger.FromFile, At: int64(rnd.IntN(100))}
	case 0:
		c.Files = &ledger.Files{Node: name(), Digest: name()}
		for range rnd.IntN(5) {
			c.Files.Groups = append(c.Files.Groups, text("f"))
		}
	case 1:
		c.Set = &ledger.Set{Source: text("team")}
		if rnd.IntN(3) == 0 {
			c.Set.YAML = ""
		}
	case 2:
		c.Assign = &ledger.Assign{Lease: v.Lease + 1, Owners: []ledger.Owning{{Node: name()}, {Node: name()}}}
		for i, g := range v.Groups {
			o := &c.Assign.Owners[i%2]
			o.Groups = append(o.Groups, g.Key)
		}
	default:
		for _, g := range v.Groups {
			var after []*alert.Alert
			for i := range 4 {
				if rnd.IntN(2) == 0 {
					a := *someAlert
					a.Labels = labels.FromStrings("i", strconv.Itoa(i))
					a.Value = []float64{1, math.NaN(), 0.1}[rnd.IntN(3)]
					after = append(after, &a)
				}
			}
			c.Evaluated = append(c.Evaluated, put(g.Key, g.Lease, g.Edit, g.At+int64(rnd.IntN(3)), g.Alerts[7], after))
		}
		if c.Evaluated == nil {
			c.Evaluated = []ledger.Evaluated{put(rules.Key{Name: "none"}, 0, 0, 1, nil, nil)}
		}
	}
	return c.Encode()
}

// The bytes of commands and snapshots stay what they are.
func TestGolden(t *testing.T) {
	s, k := ledger.New(), rules.Key{Namespace: "rules/a.yml", Name: "a"}
	var all bytes.Buffer
	for _, c := range []ledger.Command{
		{Files: &ledger.Files{Node: "n1", Digest: "d1", Groups: []ledger.Source{source("rules/a.yml", "a")}}},
		{Set: &ledger.Set{Source: source("team", "b")}},
		{Assign: &ledger.Assign{Lease: 1, Owners: []ledger.Owning{{Node: "n1", Groups: []rules.Key{k}}}}},
		{Evaluated: []ledger.Evaluated{put(k, 1, 1, 5000, nil, []*alert.Alert{someAlert}), put(k, 9, 1, 5000, nil, nil)}},
		{Carry: &ledger.Record{
			Source: source("team", "c"), Origin: ledger.FromAPI, Edit: 9, Owner: "n9", Lease: 9, At: 4000, Began: 4001, Seconds: 0.5, Cost: 0.25,
			Rules:  []ledger.Report{{ID: 7, Seconds: 0.2, Series: 1}},
			Alerts: []ledger.Change{put(k, 9, 1, 4000, nil, []*alert.Alert{someAlert}).Alerts[0]},
		}},
	} {
		data := c.Encode()
		for _, part := range [][]byte{data, s.Apply(data)} {
			require.NoError(t, json.Indent(&all, part, "", "  "))
			all.WriteByte('\n')
		}
	}
	snapshot, err := s.Snapshot()
	require.NoError(t, err)
	require.NoError(t, json.Indent(&all, snapshot, "", "  "))
	all.WriteByte('\n')
	path := filepath.Join("testdata", "golden.json")
	if *update {
		require.NoError(t, os.WriteFile(path, all.Bytes(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), all.String())
}

// A group that a node brings along keeps what is known of it, but for who evaluates it. One that is there
// already stays.
func TestCarry(t *testing.T) {
	alone, k := ledger.New(), rules.Key{Namespace: "team", Name: "a"}
	must(t, alone, ledger.Command{Set: &ledger.Set{Source: source("team", "a")}})
	must(t, alone, ledger.Command{Assign: &ledger.Assign{Lease: 1, Owners: []ledger.Owning{{Node: "n1", Groups: []rules.Key{k}}}}})
	must(t, alone, ledger.Command{Evaluated: []ledger.Evaluated{put(k, 1, 1, 5000, nil, []*alert.Alert{someAlert})}})
	was := view(alone).Group(k)

	s := ledger.New()
	must(t, s, ledger.Command{Set: &ledger.Set{Source: source("team", "b")}})
	must(t, s, ledger.Command{Carry: was.Record()})
	is := view(s).Group(k)
	require.Equal(t, was.Alerts, is.Alerts)
	require.Equal(t, []any{was.At, was.YAML, was.Origin, was.Rules}, []any{is.At, is.YAML, is.Origin, is.Rules})
	require.Equal(t, []any{"", uint64(0), uint64(2)}, []any{is.Owner, is.Lease, is.Edit})

	again := was.Record()
	again.YAML += "#"
	must(t, s, ledger.Command{Carry: again})
	require.Same(t, is, view(s).Group(k))
	for _, spoil := range []func(*ledger.Record){
		func(r *ledger.Record) { r.Name = "" }, func(r *ledger.Record) { r.Name, r.YAML = "x", "" }, func(r *ledger.Record) { r.Name, r.Origin = "x", "" },
	} {
		r := was.Record()
		spoil(r)
		_, err := apply(t, s, ledger.Command{Carry: r})
		require.ErrorContains(t, err, "without")
	}
}

func TestVersions(t *testing.T) {
	s := ledger.New()
	_, err := ledger.DecodeResult(s.Apply([]byte(`{"version":2,"set":{"namespace":"a","name":"b","yaml":"c"}}`)), 0)
	require.ErrorContains(t, err, "version 2")
	require.ErrorContains(t, s.Restore([]byte(`{"version":2}`)), "version 2")
	require.Error(t, s.Restore([]byte(`{`)))
	require.NoError(t, s.Restore(nil))
	_, err = ledger.DecodeResult([]byte(`{"verdicts":[""]}`), 2)
	require.ErrorContains(t, err, "1 verdicts on 2")
}

func FuzzApply(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 0))
	s := ledger.New()
	for range 30 {
		v, _ := s.View()
		c := randomCommand(rnd, v)
		s.Apply(c)
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, command []byte) {
		s := ledger.New()
		s.Apply(command)
		snapshot, err := s.Snapshot()
		require.NoError(t, err)
		again := ledger.New()
		require.NoError(t, again.Restore(snapshot))
		second, err := again.Snapshot()
		require.NoError(t, err)
		require.Equal(t, string(snapshot), string(second))
		_ = again.Restore(command)
	})
}
