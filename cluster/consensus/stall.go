package consensus

import "time"

// While the disk is full to the brim, what writes the log waits, and Raft with it (package patience). A
// follower that waits does no harm: the others are a quorum. A leader would go on sending heartbeats,
// and nobody would lead. So after a moment the node is silent until there is room: its connections
// break and no others begin, and the others elect one of them. Raft learns of that when it goes on.

// stallGrace is how long the log may wait before the node is silent.
const stallGrace = time.Second

// stall is told when the log begins to wait, and when it goes on.
func (g *Group) stall(waiting bool, err error) {
	g.layer.setStalled(waiting)
	if !waiting {
		g.metrics.waiting.Set(0)
		g.opts.Logger.Info("the log of consensus has found room and goes on")
		return
	}
	g.metrics.waiting.Set(1)
	g.opts.Logger.Error("the disk is full to the brim: the log of consensus waits for room, and this node does not lead", "err", err)
	time.AfterFunc(stallGrace, g.layer.silence)
}

func (l *layer) setStalled(stalled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.stalled, l.mu.silent = stalled, false
}

// silence breaks all connections if the log waits still, and lets no other begin while it does.
func (l *layer) silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.stalled {
		l.mu.silent = true
		l.breakLocked()
	}
}
