package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a running target.
type server struct {
	target
	dir  string
	addr string
	cmd  *exec.Cmd
	done chan struct{}
	log  *os.File
}

// start runs the target on its data directory and waits until it is ready.
func start(ctx context.Context, t target, dir string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	args, err := t.args(dir, addr)
	if err != nil {
		return nil, err
	}
	s := &server{target: t, dir: dir, addr: addr, log: log, done: make(chan struct{})}
	s.cmd = exec.Command(t.binary, args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", t.name, err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := s.poll(ctx, t.ready, func(code int, _ []byte) bool { return code == http.StatusOK }); err != nil {
		s.kill()
		return nil, fmt.Errorf("%s did not become ready: %w (see %s)", t.name, err, log.Name())
	}
	return s, nil
}

// poll asks for path until ok says yes.
func (s *server) poll(ctx context.Context, path string, ok func(code int, body []byte) bool) error {
	for {
		if code, body, err := get(ctx, "http://"+s.addr+path); err == nil && ok(code, body) {
			return nil
		}
		select {
		case <-s.done:
			return errors.New("it exited")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends the server as an operator does.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(2 * time.Minute):
		s.kill()
	}
	s.log.Close()
}

// kill ends the server without a chance to write anything.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
	s.log.Close()
}

// usage is what the kernel says of a process so far.
type usage struct {
	cpu     time.Duration
	written int64 // bytes sent to the disk
	peakRSS int64 // bytes
}

// usage reads /proc. The kernel counts CPU time in ticks of 10 ms.
func (s *server) usage() (usage, error) {
	var u usage
	proc := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	for _, f := range fields[11:13] { // utime, stime
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	if u.written, err = procField(proc+"io", "write_bytes:"); err != nil {
		return u, err
	}
	kib, err := procField(proc+"status", "VmHWM:")
	u.peakRSS = kib << 10
	return u, err
}

func procField(path, name string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), name); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}

// sizeOf is the space that the files below dir take.
func sizeOf(dir string) (int64, error) {
	total := int64(0)
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // A server cleans up while we look.
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		total += info.Size()
		return nil
	})
	return total, err
}
