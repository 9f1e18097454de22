package stream

import (
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/barograph-db/barograph/storage/frame"
)

var update = flag.Bool("update", false, "write the fixture anew")

var goldenAcks = []ack{
	{seq: 7},
	{seq: 300, rejected: []frame.Rejected{{Index: 0, Reason: frame.TooOld}, {Index: 1000, Reason: frame.UnknownRef}}},
	{seq: 8, code: Full, text: "disk is full"},
}

// goldenMessages are one of each kind.
func goldenMessages() [][]byte {
	frames := appendFrame(appendFrames(nil, tidings{missed: 3, behind: true, epoch: 300}), 7, frame.AppendEncode(nil, row(0, 2, 1)))
	frames = appendFrame(frames, 300, frame.AppendEncode(nil, row(5, 1, 2)))
	acks := []byte{kindAcks}
	for i := range goldenAcks {
		acks = appendAck(acks, &goldenAcks[i])
	}
	return [][]byte{
		appendHello(nil, 0x0102030405060708), appendWelcome(nil, 1<<24),
		seal(frames), seal(appendFrames(nil, tidings{missed: 3})), seal(acks), seal([]byte{kindAcks}),
	}
}

func TestGolden(t *testing.T) {
	const path = "testdata/v1.txt"
	var lines []string
	for _, msg := range goldenMessages() {
		lines = append(lines, hex.EncodeToString(msg))
	}
	text := strings.Join(lines, "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}

func TestMessages(t *testing.T) {
	m := goldenMessages()
	sender, err := readHello(m[0])
	require.NoError(t, err)
	require.EqualValues(t, 0x0102030405060708, sender)
	refs, err := readWelcome(m[1])
	require.NoError(t, err)
	require.EqualValues(t, 1<<24, refs)
	frames, said, err := readFrames(nil, m[2])
	require.NoError(t, err)
	require.Equal(t, tidings{missed: 3, behind: true, epoch: 300}, said)
	require.Len(t, frames, 2)
	require.EqualValues(t, 300, frames[1].seq)
	require.Equal(t, frame.AppendEncode(nil, row(5, 1, 2)), frames[1].body)
	acks, err := readAcks(nil, m[4])
	require.NoError(t, err)
	require.Equal(t, goldenAcks, acks)

	for _, msg := range m { // Each is one kind only, and no byte of it may be another.
		n := 0
		for _, read := range []func([]byte) error{
			func(b []byte) error { _, err := readHello(b); return err },
			func(b []byte) error { _, err := readWelcome(b); return err },
			func(b []byte) error { _, _, err := readFrames(nil, b); return err },
			func(b []byte) error { _, err := readAcks(nil, b); return err },
		} {
			if read(msg) == nil {
				n++
			}
			for i := range msg {
				msg[i] ^= 1
				require.ErrorIs(t, read(msg), errMessage)
				require.ErrorIs(t, read(msg[:i]), errMessage)
				msg[i] ^= 1
			}
		}
		require.Equal(t, 1, n)
	}
}
