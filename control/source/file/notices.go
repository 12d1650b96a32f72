package file

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// notices tell what happens in folders. The kernel is asked itself, since only it says that a writer has closed a file: a notice of each write, which
// is all that there is elsewhere, comes when half a policy is there, and then one must guess when the rest is.
type notices struct {
	file    *os.File
	events  chan []event // closed when the kernel tells no more
	stop    chan struct{}
	mu      sync.Mutex
	folders map[string]int32 // watched, by path
	paths   map[int32]string
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
	wanted   = begun | arrived | left | unix.IN_CREATE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	// entries is what matters of a folder in which only one name does.
	entries = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_ONLYDIR
)

func newNotices() (*notices, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("notices of changes: %w", err)
	}
	n := &notices{file: os.NewFile(uintptr(fd), "inotify"), events: make(chan []event), stop: make(chan struct{}),
		folders: map[string]int32{}, paths: map[int32]string{}}
	go n.read()
	return n, nil
}

func (n *notices) close() {
	close(n.stop)
	n.file.Close()
}

// read hands on what the kernel tells. While nobody takes it, the kernel keeps it; when that is too much it says so.
func (n *notices) read() {
	defer close(n.events)
	buffer := make([]byte, 64<<10)
	for {
		size, err := n.file.Read(buffer)
		if err != nil {
			return
		}
		var all []event
		for b := buffer[:size]; len(b) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(b))
			e := event{mask: binary.NativeEndian.Uint32(b[4:])}
			length := int(binary.NativeEndian.Uint32(b[12:]))
			b = b[unix.SizeofInotifyEvent:]
			name, _, _ := bytes.Cut(b[:length], []byte{0})
			e.name, b = string(name), b[length:]
			n.mu.Lock()
			e.folder = n.paths[wd]
			if e.mask&unix.IN_IGNORED != 0 {
				n.forget(wd)
			}
			n.mu.Unlock()
			if e.folder != "" || e.mask&unix.IN_Q_OVERFLOW != 0 {
				all = append(all, e)
			}
		}
		select {
		case n.events <- all:
		case <-n.stop:
			return
		}
	}
}

func (n *notices) forget(wd int32) {
	if path := n.paths[wd]; n.folders[path] == wd {
		delete(n.folders, path)
	}
	delete(n.paths, wd)
}

// follow watches these folders, by what matters of each, and no others. One that is another than it was under its path is watched anew.
func (n *notices) follow(folders map[string]uint32) error {
	raw, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	done := raw.Control(func(fd uintptr) {
		n.mu.Lock()
		defer n.mu.Unlock()
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
			if was, is := n.folders[path]; is && was != int32(wd) {
				unix.InotifyRmWatch(int(fd), uint32(was))
				n.forget(was)
			}
			n.folders[path], n.paths[int32(wd)] = int32(wd), path
		}
	})
	return errors.Join(failed, done)
}
