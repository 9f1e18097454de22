package node

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// fault is something that goes wrong, and how it ends: with nothing to undo, undo is nil.
type fault struct {
	weight int
	begin  func(m *simulation) (undo func())
}

// faults are what may happen. Those that end are undone after some time, when others may have come.
var faults = []fault{
	{4, func(m *simulation) func() { return m.crash(100, m.some(1)) }},
	{2, func(m *simulation) func() { return m.crash(m.faults.IntN(100), m.some(1)) }},
	{2, func(m *simulation) func() {
		return m.crash(m.faults.IntN(100), m.some(2+m.faults.IntN(len(m.nodes)-1)))
	}},
	{2, (*simulation).restart},
	{3, (*simulation).freeze},
	{3, (*simulation).isolate},
	{2, (*simulation).split},
	{3, (*simulation).cutOne},
	{2, (*simulation).blur},
	{2, (*simulation).fill},
	{5, (*simulation).grow},
	{1, (*simulation).drain},
}

// disturb brings faults until their time is over.
func (m *simulation) disturb() {
	type pending struct {
		at   time.Time
		undo func()
	}
	var undo []pending
	end := time.Now().Add(faultTime)
	for next := time.Now().Add(2 * time.Second); ; {
		slices.SortStableFunc(undo, func(a, b pending) int { return a.at.Compare(b.at) })
		if len(undo) > 0 && undo[0].at.Before(next) {
			sleepUntil(min64(undo[0].at, end))
			if !undo[0].at.Before(end) {
				return
			}
			undo[0].undo()
			undo = undo[1:]
			continue
		}
		sleepUntil(min64(next, end))
		if !next.Before(end) {
			return
		}
		if u := pick(m.faults).begin(m); u != nil {
			undo = append(undo, pending{time.Now().Add(m.between(200*time.Millisecond, 15*time.Second)), u})
		}
		next = time.Now().Add(m.between(100*time.Millisecond, 8*time.Second))
	}
}

func sleepUntil(t time.Time) { time.Sleep(time.Until(t)) }

func min64(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func pick(rng *rand.Rand) fault {
	all := 0
	for _, f := range faults {
		all += f.weight
	}
	n := rng.IntN(all)
	for _, f := range faults {
		if n -= f.weight; n < 0 {
			return f
		}
	}
	panic("no fault")
}

func (m *simulation) between(least, most time.Duration) time.Duration {
	return least + time.Duration(m.faults.Int64N(int64(most-least)))
}

// some nodes by chance.
func (m *simulation) some(n int) []*simNode {
	list := slices.Clone(m.nodes)
	m.faults.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(n, len(list))]
}

func names(nodes []*simNode) []string {
	var list []string
	for _, n := range nodes {
		list = append(list, n.name)
	}
	return list
}

// crash ends processes at once, with some of what was not synced lost; they start again later.
func (m *simulation) crash(keep int, nodes []*simNode) func() {
	m.note("FAULT: %s crash, %d %% of what was not synced is kept", names(nodes), keep)
	m.kill(m.faults, keep, nodes...)
	return func() { m.startAll(nodes) }
}

func (m *simulation) startAll(nodes []*simNode) {
	for _, n := range nodes {
		if n.mu.process == nil {
			m.start(n)
		}
	}
}

// restart ends a process in order and starts it again.
func (m *simulation) restart() func() {
	n := m.some(1)
	if n[0].running() == nil {
		return nil
	}
	m.note("FAULT: %s is restarted", n[0].name)
	m.stop(n[0])
	m.startAll(n)
	return nil
}

// freeze stops a process for a while.
func (m *simulation) freeze() func() {
	n := m.some(1)[0]
	if n.running() == nil {
		return nil
	}
	m.note("FAULT: %s stands still", n.name)
	m.pause(n)
	return func() {
		m.note("%s goes on", n.name)
		m.resume(n)
	}
}

// isolate cuts a node off from all others.
func (m *simulation) isolate() func() {
	list := names(m.some(len(m.nodes)))
	return m.partition(list[:1], list[1:])
}

// split makes two parts of the nodes.
func (m *simulation) split() func() {
	list := names(m.some(len(m.nodes)))
	at := 1 + m.faults.IntN(len(list)-1)
	return m.partition(list[:at], list[at:])
}

func (m *simulation) partition(a, b []string) func() {
	m.note("FAULT: %s and %s don't hear of each other", a, b)
	m.net.Partition(a, b)
	return m.join
}

func (m *simulation) join() {
	m.note("all hear of each other")
	m.net.HealAll()
}

// cutOne cuts the way from one node to another, or both ways.
func (m *simulation) cutOne() func() {
	n := names(m.some(2))
	m.note("FAULT: nothing comes from %s to %s", n[0], n[1])
	m.net.Cut(n[0], n[1])
	if m.faults.IntN(2) == 0 {
		m.note("FAULT: nothing comes from %s to %s", n[1], n[0])
		m.net.Cut(n[1], n[0])
	}
	return m.join
}

// blur makes the network slow, and lose packets.
func (m *simulation) blur() func() {
	loss, most := m.faults.Float64()/5, m.between(time.Millisecond, 300*time.Millisecond)
	m.note("FAULT: %.0f %% of the packets are lost, and delays up to %s", 100*loss, most)
	m.net.LossAll(loss)
	m.net.DelayAll(0, most)
	return m.clear
}

func (m *simulation) clear() {
	m.note("the network is fast")
	m.net.LossAll(0)
	m.net.DelayAll(100*time.Microsecond, time.Millisecond)
}

// grow starts a node that has not run yet.
func (m *simulation) grow() func() {
	for _, n := range m.nodes[m.first:] {
		if n.running() == nil && n.mu.process == nil && !n.started {
			m.note("FAULT: %s joins", n.name)
			m.start(n)
			return nil
		}
	}
	return nil
}

// drain has a node hand over what it has, if there are enough others.
func (m *simulation) drain() func() {
	n := m.some(2)
	p := n[1].running()
	if m.drained || p == nil || m.first < 3 || len(m.nodes) == m.first {
		return nil
	}
	w := p.do(context.Background(), http.MethodPost, "/api/v1/cluster/drain?node="+n[0].name, nil)
	m.note("FAULT: %s is told that %s drains: %d", n[1].name, n[0].name, w.Code)
	m.drained = w.Code == http.StatusOK
	return nil
}

// fill fills a disk.
func (m *simulation) fill() func() {
	n := m.some(1)[0]
	m.note("FAULT: %s's disk is full", strings.Join(names([]*simNode{n}), ""))
	n.full.Store(true)
	return func() {
		m.note("%s's disk has room", n.name)
		n.full.Store(false)
	}
}

// heal undoes all faults.
func (m *simulation) heal() {
	m.note("no more faults")
	m.join()
	m.clear()
	for _, n := range m.nodes {
		n.full.Store(false)
		if n.running() == nil && n.mu.process != nil {
			m.resume(n)
		}
	}
	m.startAll(m.nodes)
}
