package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// progress counts what is read through it, or whatever else is added to sent.
type progress struct {
	r     io.Reader
	total int64 // -1 is not known
	start time.Time
	sent  atomic.Int64
	text  func(n int64) string // prints an amount; nil is size10
}

// Read reads and counts.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.sent.Add(int64(n))
	return n, err
}

// show draws a bar on w until the returned function is called, if w is a terminal.
func (p *progress) show(w io.Writer) (end func()) {
	if f, ok := w.(*os.File); !ok || !isTerminal(f) {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprint(w, "\r"+p.line(time.Now())+"\x1b[K")
			select {
			case <-tick.C:
			case <-done:
				fmt.Fprintln(w, "\r"+p.line(time.Now())+"\x1b[K")
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

const barWidth = 40

// line is the bar as text: [=====>    ] 42%  1.2 GB  80 MB/s.
func (p *progress) line(now time.Time) string {
	sent, text := p.sent.Load(), p.text
	if text == nil {
		text = size10
	}
	rate := ""
	if d := now.Sub(p.start).Seconds(); d > 0 {
		rate = text(int64(float64(sent)/d)) + "/s"
	}
	if p.total <= 0 {
		return fmt.Sprintf("%s  %s", text(sent), rate)
	}
	part := min(1, float64(sent)/float64(p.total))
	full := int(part * barWidth)
	bar := strings.Repeat("=", full)
	if full < barWidth {
		bar += ">" + strings.Repeat(" ", barWidth-full-1)
	}
	return fmt.Sprintf("[%s] %3.0f%%  %s  %s", bar, part*100, text(sent), rate)
}

// size10 prints a number of bytes in powers of 1000.
func size10(n int64) string {
	v := float64(n)
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if v < 1000 {
			if unit == "B" {
				return fmt.Sprintf("%.0f %s", v, unit)
			}
			return fmt.Sprintf("%.1f %s", v, unit)
		}
		v /= 1000
	}
	return fmt.Sprintf("%.1f TB", v)
}

// isTerminal reports whether f is a character device, which is near enough for a bar.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}
