package ledger

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/barograph-db/barograph/ruler/alert"
	"github.com/barograph-db/barograph/ruler/rules"
)

// State is the ledger.
type State struct {
	mu       sync.Mutex
	groups   map[rules.Key]*Group
	lease    uint64
	edits    uint64
	digests  map[string]string
	size     int
	view     *View         // nil after a change
	changed  chan struct{} // closed by the next change
	reshaped chan struct{} // closed by the next change of groups, texts or owners
}

// New returns an empty ledger.
func New() *State {
	return &State{groups: map[rules.Key]*Group{}, digests: map[string]string{}, changed: make(chan struct{}), reshaped: make(chan struct{})}
}

// View returns the ledger as it is, and a channel that is closed when it is no more so.
func (s *State) View() (*View, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		s.view = &View{
			Groups: slices.SortedFunc(maps.Values(s.groups), func(a, b *Group) int { return a.Key.Compare(b.Key) }),
			Lease:  s.lease, Digests: maps.Clone(s.digests),
		}
	}
	return s.view, s.changed
}

// Reads returns an error for a command of another version: whoever knows that one does something with it.
func (s *State) Reads(command []byte) error {
	var c struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(command, &c); err == nil && c.Version > version {
		return versionError(c.Version)
	}
	return nil // What is nonsense to everybody is refused by Apply.
}

// Apply implements consensus.State.
func (s *State) Apply(command []byte) []byte {
	var r Result
	c, err := decodeCommand(command)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case c.Files != nil:
			err = s.files(c.Files)
		case c.Set != nil:
			err = s.set(c.Set)
		case c.Assign != nil:
			err = s.assign(c.Assign)
		case c.Carry != nil:
			err = s.carry(c.Carry)
		default:
			r.Verdicts = make([]Verdict, len(c.Evaluated))
			for i := range c.Evaluated {
				r.Verdicts[i] = s.evaluated(&c.Evaluated[i])
			}
		}
		s.touch(c.Evaluated == nil)
	}
	if err != nil {
		r.Err = err.Error()
	}
	return encode(r)
}

// Reshaped returns a channel that is closed when groups, their texts or their owners are others than at the
// call. Evaluations, which are much more, change none of these.
func (s *State) Reshaped() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reshaped
}

// touch has everyone look anew.
func (s *State) touch(reshaped bool) {
	s.view = nil
	if reshaped {
		close(s.reshaped)
		s.reshaped = make(chan struct{})
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *State) files(f *Files) error {
	wanted := make(map[rules.Key]bool, len(f.Groups))
	grown := 0
	for _, g := range f.Groups {
		k := rules.Key{Namespace: g.Namespace, Name: g.Name}
		if old := s.groups[k]; old != nil && old.Origin == FromAPI {
			return fmt.Errorf("group %s of the files is there by the rule API", k)
		}
		if wanted[k] {
			return fmt.Errorf("group %s is there twice", k)
		}
		wanted[k] = true
		grown += len(g.YAML)
	}
	if grown > MaxBytes/2 {
		return fmt.Errorf("rule files of %d bytes, and %d are allowed", grown, MaxBytes/2)
	}
	for k, g := range s.groups {
		if !wanted[k] && g.Origin == FromFile {
			s.put(k, nil)
		}
	}
	for _, g := range f.Groups { // In their order, so that all nodes count edits alike.
		s.edit(rules.Key{Namespace: g.Namespace, Name: g.Name}, FromFile, g.YAML)
	}
	s.digests[f.Node] = f.Digest
	return nil
}

func (s *State) set(c *Set) error {
	k := rules.Key{Namespace: c.Namespace, Name: c.Name}
	if c.Name == "" || c.YAML == "" {
		found := false
		for old, g := range s.groups {
			if g.Origin == FromAPI && old.Namespace == c.Namespace && (c.Name == "" || old == k) {
				s.put(old, nil)
				found = true
			}
		}
		if !found {
			return ErrNotFound
		}
		return nil
	}
	old := s.groups[k]
	if old != nil && old.Origin == FromFile {
		return fmt.Errorf("group %s is there by a rule file", k)
	}
	if s.size+len(c.YAML) > MaxBytes {
		return fmt.Errorf("the rules and alerts have %d bytes, and %d are allowed", s.size, MaxBytes)
	}
	s.edit(k, FromAPI, c.YAML)
	return nil
}

// carry takes in a group that a node brings along. One that is there stays as it is.
func (s *State) carry(r *Record) error {
	g := r.group()
	switch {
	case g.Key.Name == "" || g.YAML == "" || g.Origin != FromFile && g.Origin != FromAPI:
		return errors.New("a group without a name, a text or an origin")
	case s.groups[g.Key] != nil:
		return nil
	case s.size+g.size() > MaxBytes:
		return fmt.Errorf("the rules and alerts have %d bytes, and %d are allowed", s.size, MaxBytes)
	}
	s.edits++
	g.Edit, g.Owner, g.Lease = s.edits, "", 0
	s.put(g.Key, g)
	return nil
}

// ErrNotFound says that there is no such group.
var ErrNotFound = errors.New("no such group")

// edit gives a group a text.
func (s *State) edit(k rules.Key, from Origin, text string) {
	old := s.groups[k]
	if old != nil && old.YAML == text {
		return
	}
	next := Group{Key: k, Origin: from}
	if old != nil {
		next = *old
	}
	s.edits++
	next.YAML, next.Edit = text, s.edits
	s.put(k, &next)
}

// put replaces a group, or removes it.
func (s *State) put(k rules.Key, g *Group) {
	if old := s.groups[k]; old != nil {
		s.size -= old.size()
	}
	if g == nil {
		delete(s.groups, k)
		return
	}
	s.size += g.size()
	s.groups[k] = g
}

func (s *State) assign(a *Assign) error {
	if a.Lease != s.lease+1 {
		return fmt.Errorf("lease %d is not the one after %d", a.Lease, s.lease)
	}
	s.lease = a.Lease
	for _, o := range a.Owners {
		for _, k := range o.Groups {
			if g := s.groups[k]; g != nil && g.Owner != o.Node {
				next := *g
				next.Owner, next.Lease = o.Node, a.Lease
				s.put(k, &next)
			}
		}
	}
	return nil
}

func (s *State) evaluated(e *Evaluated) Verdict {
	k := rules.Key{Namespace: e.Namespace, Name: e.Name}
	g := s.groups[k]
	switch {
	case g == nil:
		return Gone
	case g.Lease != e.Lease:
		return Replaced
	case g.Edit != e.Edit:
		return Edited
	case e.At <= g.At:
		return Done
	}
	next := *g
	next.At, next.Began, next.Seconds, next.Rules = e.At, e.Began, e.Seconds, e.Rules
	seconds := min(max(e.Seconds, 0), maxSeconds)
	next.Cost = seconds
	if g.At != 0 {
		const weight = 0.2 // of the new among the old
		next.Cost = g.Cost + weight*(seconds-g.Cost)
	}
	for i := range next.Rules {
		if r := &next.Rules[i]; len(r.Err) > maxText {
			r.Err = r.Err[:maxText]
		}
	}
	next.Alerts = e.alerts(g.Alerts)
	if grown := next.size() - g.size(); grown > 0 && s.size+grown > MaxBytes {
		return Full
	}
	s.put(k, &next)
	return Taken
}

// alerts returns those after the evaluation. Rules that are no more have none.
func (e *Evaluated) alerts(before map[rules.ID][]*alert.Alert) map[rules.ID][]*alert.Alert {
	after := make(map[rules.ID][]*alert.Alert, len(before))
	for _, r := range e.Rules {
		if alerts := before[r.ID]; len(alerts) > 0 {
			after[r.ID] = alerts
		}
	}
	for i := range e.Alerts {
		c := &e.Alerts[i]
		if after[c.Rule] = c.with(after[c.Rule]); len(after[c.Rule]) == 0 {
			delete(after, c.Rule)
		}
	}
	return after
}

// snapshot is the whole state, encoded.
type snapshot struct {
	Version int               `json:"version"`
	Lease   uint64            `json:"lease"`
	Edits   uint64            `json:"edits"`
	Digests map[string]string `json:"digests,omitempty"`
	Groups  []Record          `json:"groups,omitempty"`
}

// Record is a Group as it is encoded.
type Record struct {
	Source
	Origin  Origin   `json:"origin"`
	Edit    uint64   `json:"edit"`
	Owner   string   `json:"owner,omitempty"`
	Lease   uint64   `json:"lease,omitempty"`
	At      int64    `json:"at,omitempty"`
	Began   int64    `json:"began,omitempty"`
	Seconds float64  `json:"seconds,omitempty"`
	Cost    float64  `json:"cost,omitempty"`
	Rules   []Report `json:"rules,omitempty"`
	Alerts  []Change `json:"alerts,omitempty"`
}

// Record returns the group in the form that is encoded.
func (g *Group) Record() *Record {
	r := &Record{
		Source: Source{Namespace: g.Key.Namespace, Name: g.Key.Name, YAML: g.YAML}, Origin: g.Origin, Edit: g.Edit,
		Owner: g.Owner, Lease: g.Lease, At: g.At, Began: g.Began, Seconds: g.Seconds, Cost: g.Cost, Rules: g.Rules,
	}
	for id, alerts := range g.Alerts {
		c, _ := Changes(nil, alerts)
		c.Rule = id
		r.Alerts = append(r.Alerts, c)
	}
	slices.SortFunc(r.Alerts, func(a, b Change) int { return cmp.Compare(a.Rule, b.Rule) })
	return r
}

func (r *Record) group() *Group {
	g := &Group{
		Key: rules.Key{Namespace: r.Namespace, Name: r.Name}, Origin: r.Origin, YAML: r.YAML, Edit: r.Edit,
		Owner: r.Owner, Lease: r.Lease, At: r.At, Began: r.Began, Seconds: r.Seconds, Cost: r.Cost, Rules: r.Rules,
		Alerts: map[rules.ID][]*alert.Alert{},
	}
	for i := range r.Alerts {
		g.Alerts[r.Alerts[i].Rule] = r.Alerts[i].with(nil)
	}
	return g
}

// Snapshot implements consensus.State.
func (s *State) Snapshot() ([]byte, error) {
	view, _ := s.View()
	s.mu.Lock()
	edits := s.edits
	s.mu.Unlock()
	out := snapshot{Version: version, Lease: view.Lease, Edits: edits, Digests: view.Digests}
	for _, g := range view.Groups {
		out.Groups = append(out.Groups, *g.Record())
	}
	return encode(out), nil
}

// Restore implements consensus.State.
func (s *State) Restore(data []byte) error {
	in := snapshot{Version: version}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &in); err != nil {
			return err
		}
	}
	if in.Version != version {
		return fmt.Errorf("a snapshot of version %d, and this node reads %d", in.Version, version)
	}
	fresh := New()
	fresh.lease, fresh.edits = in.Lease, in.Edits
	for node, digest := range in.Digests {
		fresh.digests[node] = digest
	}
	for _, r := range in.Groups {
		g := r.group()
		fresh.put(g.Key, g)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups, s.lease, s.edits, s.digests, s.size = fresh.groups, fresh.lease, fresh.edits, fresh.digests, fresh.size
	s.touch(true)
	return nil
}
