package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/proxy/handover"
)

// successor is what a process does for the one that takes its place.
type successor struct{ *process }

// Self implements handover.Owner.
func (s successor) Self() handover.Self {
	dir, _ := os.Getwd()
	return handover.Self{BaseID: s.flags.baseID, Args: s.flags.args, Dir: dir, Numbered: s.proxy.Numbered(), Began: s.firstBegan()}
}

// Refuses implements handover.Owner.
func (s successor) Refuses(pid int) string {
	switch {
	case s.agent == nil:
		return ""
	case len(s.flags.command) > 0:
		return "the sidecar has started the application and ends with it, so that no other one can take its place: end both, and start them anew"
	case os.Getppid() == 0 && pid != 0 && sameContainer(pid):
		return "the sidecar is its container's first process, and the container ends with it: replace the container, or have the next one in a second container of the pod with --take-over (WEFT_TAKE_OVER=true)"
	}
	return ""
}

// sameContainer says whether a process is in this one's container, by its cgroup: containers that share their process ids have each their own.
func sameContainer(pid int) bool {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return true
	}
	other, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err != nil || bytes.Equal(own, other)
}

// Bequest implements handover.Owner.
func (s successor) Bequest() []byte {
	if s.agent == nil {
		return nil
	}
	return s.agent.Bequest()
}

// Sockets implements handover.Owner.
func (s successor) Sockets() (list []handover.Socket) {
	add := func(key string, fd int) {
		if fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			list = append(list, handover.Socket{Key: key, FD: fd})
		}
	}
	s.proxy.Sockets(add)
	if s.agent != nil {
		s.agent.Sockets(add)
	}
	slices.SortStableFunc(list, func(a, b handover.Socket) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// CloseAdmin implements handover.Owner.
func (s successor) CloseAdmin() {
	if s.admin != nil {
		s.admin.Close()
	}
}

// OpenAdmin implements handover.Owner.
func (s successor) OpenAdmin() {
	if s.admin == nil {
		return
	}
	if err := s.reopen(); err != nil {
		s.log.Error("the process that had taken the address of the admin pages has gone, and they do not come back", "error", err)
		return
	}
	s.log.Warn("the process that had taken the address of the admin pages has gone: they are here again")
}

// Drain implements handover.Owner: the other process accepts already, on the same sockets.
func (s successor) Drain() {
	s.log.Info("another process takes this one's place: clients are asked to go", "over", time.Duration(s.flags.drainTime)*time.Second)
	s.proxy.CloseListeners(false)
	over := time.Duration(s.flags.drainTime) * time.Second
	if s.flags.drainStrategy == "immediate" {
		over = 0
	}
	s.proxy.Drain(over, false)
	if s.agent != nil {
		s.agent.Yield()
	}
}

// Give implements handover.Owner.
func (s successor) Give(o *handover.Offers) {
	s.proxy.Give(o, func(gone, stay int, err error) {
		if err != nil {
			s.log.Warn("no more connections are handed over, the others stay here", "error", err)
		}
		s.log.Info("connections were handed over", "connections", gone, "kept", stay)
	})
}

// Abandoned implements handover.Owner.
func (s successor) Abandoned() {
	s.proxy.StopGiving()
	if s.agent != nil {
		s.agent.Lost()
	}
	after := time.Duration(s.flags.parentShutdownTime) * time.Second
	s.log.Error("the process that has taken this one's place is gone: nobody listens any more, and this one serves the connections that it has left; start another one with the same --restart-epoch", "ends after", after)
	time.AfterFunc(after, s.End)
}

// Counters implements handover.Owner.
func (s successor) Counters() map[string]uint64 { return s.stats.Counters() }

// End implements handover.Owner.
func (s successor) End() {
	go func() {
		s.proxy.Depart(partingTime)
		s.end("another process has taken this one's place")
	}()
}

// partingTime is how long the last requests may take of a process whose time is over.
const partingTime = 10 * time.Second
