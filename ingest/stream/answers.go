package stream

import (
	"fmt"
	"sync"
	"time"
)

// maxAnswers is the number of acks that may wait before no more frames are taken.
const maxAnswers = 1024

// answers are the acks that wait to be sent over a stream.
type answers struct {
	conn Conn
	wake chan struct{}
	mu   struct {
		sync.Mutex
		acks []ack
		err  error // Nothing can be sent any more.
	}
	taken sync.Cond
}

func newAnswers(conn Conn) *answers {
	a := &answers{conn: conn, wake: make(chan struct{}, 1)}
	a.taken.L = &a.mu
	return a
}

// room waits until there is room for answers to more frames. An error says that there will be none.
func (a *answers) room() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.mu.acks) >= maxAnswers && a.mu.err == nil {
		a.taken.Wait()
	}
	return a.mu.err
}

// add lets an ack go with the next message, after notify at the latest. Those of frames in flight always
// have room.
func (a *answers) add(answer ack) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.acks = append(a.mu.acks, answer)
}

// notify says that acks wait.
func (a *answers) notify() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *answers) take(spare []ack) []ack {
	a.mu.Lock()
	defer a.mu.Unlock()
	acks := a.mu.acks
	a.mu.acks = spare
	a.taken.Broadcast()
	return acks
}

// run sends what there is, and beats, until quit is closed; then what there is once more.
func (a *answers) run(quit <-chan struct{}) error {
	err := a.loop(quit)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.err = err
	a.taken.Broadcast()
	return err
}

func (a *answers) loop(quit <-chan struct{}) error {
	beat := time.NewTimer(answerEvery)
	defer beat.Stop()
	var acks []ack
	var msg []byte
	for last := false; ; {
		clear(acks)
		acks = a.take(acks[:0])
		var err error
		if msg, err = a.send(msg, acks); err != nil {
			return err
		}
		if len(acks) > 0 {
			beat.Reset(answerEvery)
			continue
		}
		if last {
			return nil
		}
		select {
		case <-quit:
			last = true
		case <-a.wake:
		case <-beat.C:
			if err := a.conn.Send(seal(append(msg[:0], kindAcks))); err != nil {
				return fmt.Errorf("send beat: %w", err)
			}
			beat.Reset(answerEvery)
		}
	}
}

func (a *answers) send(msg []byte, acks []ack) ([]byte, error) {
	for len(acks) > 0 {
		msg = append(msg[:0], kindAcks)
		for len(acks) > 0 && len(msg) < batchBytes {
			msg = appendAck(msg, &acks[0])
			acks = acks[1:]
		}
		msg = seal(msg)
		if err := a.conn.Send(msg); err != nil {
			return msg, fmt.Errorf("send acks: %w", err)
		}
	}
	return msg, nil
}
