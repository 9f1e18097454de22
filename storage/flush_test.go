package storage

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecide(t *testing.T) {
	const slot, grace = int64(7_200_000), int64(600_000)
	base := state{
		slot: slot, grace: grace, oldest: math.MaxInt64, lateLimit: 100, checkpointMin: 1000,
	}
	for _, tc := range []struct {
		name string
		set  func(*state)
		want need
	}{
		{"empty head", func(s *state) { s.now = 10 * slot }, need{before: 9 * slot}},
		{"slot running", func(s *state) { s.now = 10*slot + grace - 1; s.flushedBefore = 9 * slot; s.oldest = 9 * slot }, need{before: 9 * slot, line: true}},
		{"slot ended, grace over", func(s *state) { s.now = 10*slot + grace; s.flushedBefore = 9 * slot; s.oldest = 9 * slot }, need{flush: true, before: 10 * slot}},
		{"slot running, line drawn", func(s *state) {
			s.now, s.line, s.flushedBefore, s.oldest = 10*slot+1, 10*slot, 9*slot, 9*slot
		}, need{before: 9 * slot}},
		{"slot running, grace as long as a slot", func(s *state) {
			s.now, s.grace, s.flushedBefore, s.oldest = 11*slot-1, slot, 9*slot, 9*slot
		}, need{before: 9 * slot}},
		{"slot ended, nothing of it", func(s *state) { s.now = 10 * slot; s.flushedBefore = 9 * slot; s.oldest = 10 * slot }, need{before: 9 * slot}},
		{"few late samples wait", func(s *state) {
			s.now, s.flushedBefore, s.oldest, s.lateBytes = 10*slot+grace, 10*slot, slot, 100
		}, need{before: 10 * slot}},
		{"many late samples do not", func(s *state) {
			s.now, s.flushedBefore, s.oldest, s.lateBytes = 10*slot+grace, 10*slot, slot, 101
		}, need{flush: true, before: 10 * slot}},
		{"little log", func(s *state) { s.logBytes = 1000 }, need{before: -slot}},
		{"much log", func(s *state) { s.logBytes = 1001 }, need{before: -slot, checkpoint: true}},
		{"much log for a small head only", func(s *state) { s.logBytes, s.lastCheckpoint = 1001, 1001 }, need{before: -slot}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := base
			tc.set(&s)
			require.Equal(t, tc.want, decide(s))
		})
	}
}

func TestExpired(t *testing.T) {
	parts := []retained{{maxT: 10, bytes: 5}, {maxT: 20, bytes: 5}, {maxT: 30, bytes: 5}}
	for _, tc := range []struct {
		name          string
		before, limit int64
		want          int
	}{
		{"nothing due", 0, 0, 0},
		{"a part whose end is the bound stays", 10, 0, 0},
		{"by time", 21, 0, 2},
		{"by time, all", 31, 0, 3},
		{"by size", 0, 10, 1},
		{"by size, the newest stays", 0, 1, 2},
		{"both", 11, 5, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, expired(parts, tc.before, tc.limit))
		})
	}
}

func TestMarksKeep(t *testing.T) {
	ms := marks{{before: 100, segment: 5}, {before: 200, segment: 7}, {before: 50, segment: 9}}
	require.Equal(t, uint64(10), ms.nextSegment())
	require.Nil(t, ms.keep(9), "nothing of segment 9 was flushed")
	for _, tc := range []struct {
		segment uint64
		t       int64
		want    bool
	}{
		{4, 199, false},
		{4, 200, true},
		{6, 199, false},
		{7, 49, false},
		{7, 50, true},
		{8, 49, false},
	} {
		require.Equal(t, tc.want, ms.keep(tc.segment)(tc.t), "segment %d, time %d", tc.segment, tc.t)
	}
}
