package consensus

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
)

var (
	sampleCommand = appendCommand(nil, "list", []byte("a command"))
	sampleStates  = map[string][]byte{"list": []byte("a\nb"), "other": nil, "third": []byte(strings.Repeat("x", 200))}
)

func sampleEntry() *raft.Log {
	return &raft.Log{
		Index: 7, Term: 300, Type: raft.LogCommand, Data: sampleCommand, Extensions: []byte("ext"),
		AppendedAt: time.Unix(1_700_000_000, 123).UTC(),
	}
}

func sampleMeta() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, Index: 1000, Term: 5, ConfigurationIndex: 999, Size: 4242,
		Configuration: toRaft(servers("1 2-")),
	}
}

// samples are encoded forms by name.
func samples() map[string][]byte {
	return map[string][]byte{
		"command":  sampleCommand,
		"entry":    appendEntry(nil, sampleEntry()),
		"meta":     appendMeta(nil, sampleMeta()),
		"states":   appendStates(nil, sampleStates),
		"request":  appendRequest(nil, propose, sampleCommand),
		"response": appendResponse(nil, []byte("a result"), nil),
		"witness":  appendWitness(nil, 77),
		"refusal":  appendResponse(nil, nil, fmt.Errorf("%w: elsewhere", ErrNoLeader)),
	}
}

func TestFormats(t *testing.T) {
	for name, data := range samples() {
		golden(t, "testdata/v1/"+name+".bin", string(data))
	}
	state, command, err := decodeCommand(sampleCommand)
	require.NoError(t, err)
	require.Equal(t, "list", state)
	require.Equal(t, "a command", string(command))

	var l raft.Log
	require.NoError(t, decodeEntry(appendEntry(nil, sampleEntry()), 7, &l))
	require.Equal(t, *sampleEntry(), l)
	require.NoError(t, decodeEntry(appendEntry(nil, &raft.Log{Type: raft.LogNoop}), 8, &l))
	require.True(t, l.AppendedAt.IsZero())

	m, err := decodeMeta(appendMeta(nil, sampleMeta()), 5000)
	require.NoError(t, err)
	require.Equal(t, sampleMeta(), m)
	_, err = decodeMeta(appendMeta(nil, sampleMeta()), 4000)
	require.Error(t, err)

	states, err := decodeStates(appendStates(nil, sampleStates))
	require.NoError(t, err)
	require.Len(t, states, 3)
	require.Equal(t, sampleStates["third"], states["third"])
}

// What is cut short or of another version is refused, and so is a state with a flipped bit.
func TestDecodeRefuses(t *testing.T) {
	decoders := map[string]func([]byte) error{
		"entry":  func(b []byte) error { return decodeEntry(b, 1, &raft.Log{}) },
		"meta":   func(b []byte) error { _, err := decodeMeta(b, 5000); return err },
		"states": func(b []byte) error { _, err := decodeStates(b); return err },
	}
	ends := map[string]int{"entry": len("ext")} // Any number of bytes are extensions.
	for name, decode := range decoders {
		good := samples()[name]
		require.NoError(t, decode(good))
		for n := range len(good) - ends[name] {
			require.Error(t, decode(good[:n]), "%s of %d bytes", name, n)
		}
		require.Error(t, decode(append([]byte{9}, good[1:]...)), name)
	}
	good := samples()["states"]
	for i := range good {
		bad := append([]byte{}, good...)
		bad[i] ^= 4
		require.Error(t, decoders["states"](bad))
	}
	require.Error(t, decoders["meta"](append(samples()["meta"], 0)))
	for i := range 2 {
		_, _, err := decodeCommand(sampleCommand[:i])
		require.Error(t, err)
	}
}

func TestResponses(t *testing.T) {
	data, err := decodeResponse(samples()["response"])
	require.NoError(t, err)
	require.Equal(t, "a result", string(data))
	for _, want := range []error{ErrNoLeader, ErrLost, ErrTooLarge, ErrUnknownState, ErrBusy} {
		_, err = decodeResponse(appendResponse(nil, nil, fmt.Errorf("why: %w", want)))
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, "why")
	}
	_, err = decodeResponse(appendResponse(nil, nil, ErrClosed))
	require.ErrorIs(t, err, ErrNoLeader)
	_, err = decodeResponse(appendResponse(nil, nil, errRefused))
	require.ErrorIs(t, err, ErrLost)
	for _, bad := range [][]byte{nil, {version}, {9, 0}, {version, byte(len(statuses))}} {
		_, err = decodeResponse(bad)
		require.ErrorIs(t, err, ErrLost)
	}
}

func seed(f *testing.F) {
	for _, s := range samples() {
		f.Add(s)
	}
}

// FuzzDecode gives all decoders the same bytes: what they take, they must write again alike.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if state, command, err := decodeCommand(data); err == nil {
			s, c, err := decodeCommand(appendCommand(nil, state, command))
			require.NoError(t, err)
			require.Equal(t, state, s)
			require.Equal(t, command, c)
		}
		var l, again raft.Log
		if decodeEntry(data, 3, &l) == nil {
			require.NoError(t, decodeEntry(appendEntry(nil, &l), 3, &again))
			require.Equal(t, l, again)
		}
		if m, err := decodeMeta(data, 1<<20); err == nil {
			n, err := decodeMeta(appendMeta(nil, m), 1<<20)
			require.NoError(t, err)
			require.Equal(t, m, n)
		}
		if states, err := decodeStates(data); err == nil {
			again, err := decodeStates(appendStates(nil, states))
			require.NoError(t, err)
			require.Equal(t, states, again)
		}
		if n, err := decodeWitness(data); err == nil {
			require.Equal(t, data[:witnessBytes], appendWitness(nil, n))
		}
		_, _ = decodeResponse(data)
	})
}

// FuzzStates has the checksum put right, for the fuzzer to come past it.
func FuzzStates(f *testing.F) {
	f.Add(samples()["states"][:20])
	f.Fuzz(func(t *testing.T, data []byte) {
		states, err := decodeStates(binary.LittleEndian.AppendUint64(data, xxhash.Sum64(data)))
		if err != nil {
			return
		}
		again, err := decodeStates(appendStates(nil, states))
		require.NoError(t, err)
		require.Equal(t, states, again)
	})
}

// FuzzForwarded has another node send anything.
func FuzzForwarded(f *testing.F) {
	seed(f)
	g := &Group{opts: Options{States: map[string]State{"list": &list{}}, MaxCommandBytes: 100}, places: make(chan struct{}, 1), metrics: newMetrics(nil)}
	f.Fuzz(func(t *testing.T, data []byte) {
		response, err := g.Forwarded(t.Context(), data)
		if err == nil {
			_, err = decodeResponse(response)
			require.Error(t, err, "it does not run")
		}
		require.Empty(t, g.places)
	})
}
