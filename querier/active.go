package querier

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A query that takes the node down is often sent again as soon as the node is back. So the queries
// that run are kept in a small file, one slot each, written when they begin and emptied when they
// end. The writes are not synced: they outlive the process, and a machine that stops takes no
// query for the cause. What is found at the start was running when the node went down: a suspect.
// Most are innocent, so the first time is only told; who was there twice is refused for a while.
//
//	file   = "BGAQ" | version u8 (1) | zeros to slotSize | slot...
//	slot   = crc32c u32 of the rest | crashes u8 | state u8 | len(text) u16 | started i64 unix ms
//	         | hash u64 | text | zeros to slotSize
//	state    0 empty, 1 running, 2 suspect
//
// All numbers are little endian. A slot whose checksum is wrong is empty. The first slots are
// those of the gate, the rest holds suspects of earlier crashes.
type activeFile struct {
	file     *os.File // nil: nothing is kept
	suspects []record
	failures atomic.Int64 // writes that went wrong
}

const (
	activeMagic   = "BGAQ\x01"
	slotSize      = 1024
	slotHeader    = 24
	maxSlots      = 4096
	maxSuspects   = 256
	maxActiveFile = (1 + maxSlots + maxSuspects) * slotSize

	stateRunning = 1
	stateSuspect = 2

	suspectFor = time.Hour        // so long a crash is remembered
	refusedFor = 10 * time.Minute // so long after the start a repeated suspect is refused
	crashesBad = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is a query in the file.
type record struct {
	state   uint8
	crashes uint8
	started time.Time
	hash    uint64
	text    string // its beginning

	refusedUntil time.Time // not in the file
}

// openActiveFile reads who was running and starts the file anew. An empty path keeps nothing.
func openActiveFile(path string, slots int, now time.Time) (*activeFile, error) {
	if path == "" {
		return &activeFile{}, nil
	}
	old, err := readActiveFile(path)
	if err != nil {
		return nil, fmt.Errorf("read active queries: %w", err)
	}
	a := &activeFile{suspects: suspects(old, now)}
	if a.file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640); err != nil {
		return nil, fmt.Errorf("open active queries: %w", err)
	}
	image := make([]byte, slotSize*(1+slots), slotSize*(1+slots+len(a.suspects)))
	copy(image, activeMagic)
	for _, s := range a.suspects {
		image = append(image, encodeSlot(s)...)
	}
	_, err = a.file.WriteAt(image, 0)
	if err == nil {
		err = a.file.Truncate(int64(len(image)))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write active queries: %w", err), a.file.Close())
	}
	return a, nil
}

func readActiveFile(path string) ([]record, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Size() > maxActiveFile:
		return nil, nil // Not a file of ours.
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeActive(b), nil
}

// decodeActive returns the records of a file's bytes, none where they are not those of such a file.
func decodeActive(b []byte) []record {
	if len(b) < slotSize || len(b) > maxActiveFile || !bytes.HasPrefix(b, []byte(activeMagic)) {
		return nil
	}
	var out []record
	for b = b[slotSize:]; len(b) >= slotSize; b = b[slotSize:] {
		if r, ok := decodeSlot(b[:slotSize]); ok {
			out = append(out, r)
		}
	}
	return out
}

func decodeSlot(b []byte) (record, bool) {
	n := int(binary.LittleEndian.Uint16(b[6:]))
	if n > slotSize-slotHeader || crc32.Checksum(b[4:slotHeader+n], castagnoli) != binary.LittleEndian.Uint32(b) {
		return record{}, false
	}
	r := record{
		crashes: b[4],
		state:   b[5],
		started: time.UnixMilli(int64(binary.LittleEndian.Uint64(b[8:]))),
		hash:    binary.LittleEndian.Uint64(b[16:]),
		text:    string(b[slotHeader : slotHeader+n]),
	}
	return r, r.state == stateRunning || r.state == stateSuspect
}

func encodeSlot(r record) []byte {
	b := make([]byte, slotSize)
	b[4], b[5] = r.crashes, r.state
	n := copy(b[slotHeader:], r.text)
	binary.LittleEndian.PutUint16(b[6:], uint16(n))
	binary.LittleEndian.PutUint64(b[8:], uint64(r.started.UnixMilli()))
	binary.LittleEndian.PutUint64(b[16:], r.hash)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:slotHeader+n], castagnoli))
	return b
}

// suspects makes of the records of the last run those of this one: what was running has one crash
// more, and what is long past is forgotten.
func suspects(old []record, now time.Time) []record {
	byHash := map[uint64]record{}
	for _, r := range old {
		if r.state == stateRunning {
			r.crashes = min(r.crashes, 254) + 1
			if r.crashes >= crashesBad {
				r.refusedUntil = now.Add(refusedFor)
			}
		} else if now.Sub(r.started) > suspectFor {
			continue
		}
		r.state = stateSuspect
		if r.crashes > byHash[r.hash].crashes {
			byHash[r.hash] = r
		}
	}
	out := make([]record, 0, len(byHash))
	for _, r := range byHash {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b record) int { return b.started.Compare(a.started) })
	return out[:min(len(out), maxSuspects)]
}

// suspect returns the record of a query that ran when the node went down.
func (a *activeFile) suspect(hash uint64) (record, bool) {
	i := slices.IndexFunc(a.suspects, func(s record) bool { return s.hash == hash })
	if i < 0 {
		return record{}, false
	}
	return a.suspects[i], true
}

// refuse returns an error for a query that ran each time the node went down of late.
func (a *activeFile) refuse(text string, now time.Time) error {
	if len(a.suspects) == 0 {
		return nil
	}
	s, ok := a.suspect(xxhash.Sum64String(text))
	if !ok || !now.Before(s.refusedUntil) {
		return nil
	}
	return &Error{Kind: Execution, Err: fmt.Errorf(
		"the query was running the last %d times this node went down and is refused until %s (err-barograph-query-suspect)",
		s.crashes, s.refusedUntil.UTC().Format(time.RFC3339))}
}

// begin writes that the query runs in the slot.
func (a *activeFile) begin(slot int, text string, now time.Time) {
	if a.file == nil {
		return
	}
	r := record{state: stateRunning, started: now, hash: xxhash.Sum64String(text), text: text}
	if s, ok := a.suspect(r.hash); ok {
		r.crashes = s.crashes
	}
	r.text = r.text[:min(len(r.text), slotSize-slotHeader)]
	a.write(slot, encodeSlot(r))
}

// end empties the slot.
func (a *activeFile) end(slot int) {
	if a.file != nil {
		a.write(slot, make([]byte, slotHeader))
	}
}

func (a *activeFile) write(slot int, b []byte) {
	if _, err := a.file.WriteAt(b, int64(1+slot)*slotSize); err != nil {
		a.failures.Add(1) // The query matters more than its record.
	}
}

func (a *activeFile) close() error {
	if a.file == nil {
		return nil
	}
	return a.file.Close()
}
