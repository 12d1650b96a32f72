package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// notices tell what happens in folders. The kernel is asked itself, since only it says that a writer has closed a file: a notice of each write, which
// is all that there is elsewhere, comes when half a policy is there, and then one must guess when the rest is.
type notices struct {
	file    *os.File
	raw     syscall.RawConn
	ready   chan struct{} // something is told: drain gives it
	drained chan struct{}
	stop    chan struct{}
	folders map[string]int32 // watched, by path
	paths   map[int32]string
	buffer  []byte
}

// event is one notice.
type event struct {
	folder, name string // name is empty if it is about the folder itself
	mask         uint32
}

const (
	begun    = unix.IN_MODIFY // a writer has begun, or goes on
	arrived  = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO
	left     = unix.IN_DELETE | unix.IN_MOVED_FROM
	uprooted = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_IGNORED
	wanted   = begun | arrived | left | unix.IN_ATTRIB | unix.IN_CREATE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	// entries is what matters of a folder in which only one name does.
	entries = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_ONLYDIR
)

func newNotices() (*notices, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("notices of changes: %w", err)
	}
	n := &notices{file: os.NewFile(uintptr(fd), "inotify"), ready: make(chan struct{}), drained: make(chan struct{}, 1), stop: make(chan struct{}),
		folders: map[string]int32{}, paths: map[int32]string{}, buffer: make([]byte, 64<<10)}
	if n.raw, err = n.file.SyscallConn(); err != nil {
		n.file.Close()
		return nil, fmt.Errorf("notices of changes: %w", err)
	}
	go n.wait()
	return n, nil
}

func (n *notices) close() {
	close(n.stop)
	n.file.Close()
}

// wait says when the kernel has something to tell. It takes nothing: what has not been taken the kernel keeps, and says so when it is too much.
func (n *notices) wait() {
	for {
		err := n.raw.Read(func(fd uintptr) bool {
			count, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return count > 0 || err != nil && err != unix.EINTR
		})
		if err != nil {
			return
		}
		select {
		case n.ready <- struct{}{}:
		case <-n.stop:
			return
		}
		select {
		case <-n.drained:
		case <-n.stop:
			return
		}
	}
}

// drain gives all that the kernel tells at this moment, up to a bound: what is more is told next.
func (n *notices) drain() (all []event) {
	const most = 64 // buffers
	n.raw.Control(func(fd uintptr) {
		for range most {
			size, err := unix.Read(int(fd), n.buffer)
			if err == unix.EINTR {
				continue
			}
			if err != nil || size <= 0 {
				return
			}
			for b := n.buffer[:size]; len(b) >= unix.SizeofInotifyEvent; {
				wd := int32(binary.NativeEndian.Uint32(b))
				e := event{mask: binary.NativeEndian.Uint32(b[4:])}
				length := int(binary.NativeEndian.Uint32(b[12:]))
				b = b[unix.SizeofInotifyEvent:]
				name, _, _ := bytes.Cut(b[:length], []byte{0})
				e.name, b = string(name), b[length:]
				e.folder = n.paths[wd]
				if e.mask&unix.IN_IGNORED != 0 {
					n.forget(wd)
				}
				if e.folder != "" || e.mask&unix.IN_Q_OVERFLOW != 0 {
					all = append(all, e)
				}
			}
		}
	})
	return all
}

func (n *notices) forget(wd int32) {
	if path := n.paths[wd]; n.folders[path] == wd {
		delete(n.folders, path)
	}
	delete(n.paths, wd)
}

// follow watches these folders, by what matters of each, and no others. One that is another than it was under its path is watched anew.
func (n *notices) follow(folders map[string]uint32) error {
	var failed error
	done := n.raw.Control(func(fd uintptr) {
		for path, wd := range n.folders {
			if folders[path] == 0 {
				unix.InotifyRmWatch(int(fd), uint32(wd))
				n.forget(wd)
			}
		}
		for path, mask := range folders {
			wd, err := unix.InotifyAddWatch(int(fd), path, mask)
			if err != nil {
				if !errors.Is(err, unix.ENOENT) && failed == nil {
					failed = fmt.Errorf("%s: %w", filepath.ToSlash(path), err)
				}
				continue
			}
			if other := n.paths[int32(wd)]; other != path && n.folders[other] == int32(wd) {
				delete(n.folders, other) // which was moved here with its watch: another folder of its old name must not end that
			}
			if was, is := n.folders[path]; is && was != int32(wd) {
				unix.InotifyRmWatch(int(fd), uint32(was))
				n.forget(was)
			}
			n.folders[path], n.paths[int32(wd)] = int32(wd), path
		}
	})
	return errors.Join(failed, done)
}
