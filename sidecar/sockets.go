package sidecar

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// secretsKey is what the socket for secrets is known by: where it is in folders two containers may call by two names.
const secretsKey = "agent unix secrets"

// sockets are those of the agent's part. They are opened, or taken over from the process whose place this one takes, and handed over to the one that takes this one's.
type sockets struct {
	handed func(key string) []int // of the process before; nil: there is none

	mu   sync.Mutex
	open map[string]syscall.Conn
}

// key is what a socket is known by.
func key(network, address string) string { return "agent " + network + " " + address }

// take gives the socket that was handed over by a key; nil: none was.
func (s *sockets) take(key string) *os.File {
	if s.handed == nil {
		return nil
	}
	fds := s.handed(key)
	for _, fd := range fds[min(1, len(fds)):] {
		unix.Close(fd)
	}
	if len(fds) == 0 {
		return nil
	}
	return os.NewFile(uintptr(fds[0]), key)
}

// note keeps a socket for who comes after.
func (s *sockets) note(key string, c any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[string]syscall.Conn{}
	}
	s.open[key] = c.(syscall.Conn)
}

// listen is net.Listen, but for what was handed over.
func (s *sockets) listen(network, address string) (l net.Listener, err error) {
	if f := s.take(key(network, address)); f != nil {
		l, err = net.FileListener(f)
		f.Close()
	} else {
		l, err = net.Listen(network, address)
	}
	if err != nil {
		return nil, occupied(err)
	}
	s.note(key(network, address), l)
	return l, nil
}

// packets is net.ListenPacket, but for what was handed over.
func (s *sockets) packets(network, address string) (c net.PacketConn, err error) {
	if f := s.take(key(network, address)); f != nil {
		c, err = net.FilePacketConn(f)
		f.Close()
	} else {
		c, err = net.ListenPacket(network, address)
	}
	if err != nil {
		return nil, occupied(err)
	}
	s.note(key(network, address), c)
	return c, nil
}

// occupied says what to do about an address that somebody has.
func occupied(err error) error {
	if !errors.Is(err, unix.EADDRINUSE) {
		return err
	}
	return fmt.Errorf("%w (if it is another sidecar's: weft upgrade PID, or --take-over, takes its place, and flags with other ports stand beside it)", err)
}

// secrets listens at the socket for secrets. One that an earlier process has left is in nobody's way; one that was handed over serves already, and is known by its key: had says so.
func (s *sockets) secrets(path string) (l *net.UnixListener, had bool, err error) {
	if f := s.take(secretsKey); f != nil {
		over, err := net.FileListener(f)
		f.Close()
		switch {
		case err != nil:
			return nil, false, fmt.Errorf("the socket for secrets: %w", err)
		case served(path):
			l := over.(*net.UnixListener)
			s.note(secretsKey, l)
			return l, true, nil
		}
		over.Close() // it is in another container's folder
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, false, fmt.Errorf("the socket for secrets: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, false, fmt.Errorf("the socket for secrets, which a process before has left: %w", err)
	}
	l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, false, fmt.Errorf("the socket for secrets: %w", err)
	}
	// The workload is of another user, and its key is not for it.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, false, fmt.Errorf("the socket for secrets: %w", err)
	}
	s.note(secretsKey, l)
	return l, false, nil
}

// each gives those that are open. The descriptors are good for as long as f runs.
func (s *sockets) each(f func(key string, fd int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, c := range s.open {
		if raw, err := c.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) { f(key, int(fd)) }) // of one that is closed it does nothing
		}
	}
}
