package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weftmesh/weft/proxy/handover"
	"github.com/weftmesh/weft/telemetry"
)

// restartVersion is that of what processes say to each other: two of one version can take each other's place.
const restartVersion = "weft.1"

// row is the row of processes with one base id, each of which takes the place of the one before. A nil row is that of a process that neither
// takes a place nor gives it.
type row struct {
	flags  *flags
	log    *slog.Logger
	place  *handover.Place
	before *handover.Predecessor // nil: there is none, or no more
	self   *handover.Self        // the process before; nil: there is none, or it has not said
	stats  *telemetry.Store

	arrivals *handover.Arrivals // of connections; nil: none come

	mu     sync.Mutex
	got    map[string][]int // sockets that were handed over and that nobody has taken yet
	ending *time.Timer
}

// joinRow takes the place that the flags say, and what comes with it. Until takeOver the process before serves on, and should this one end
// before that, nothing has happened to it.
func joinRow(f *flags, log *slog.Logger) (*row, error) {
	if f.disableHotRestart {
		return nil, nil
	}
	r := &row{flags: f, log: log, got: map[string][]int{}}
	if f.restartEpoch > 0 {
		before, err := handover.Succeed(r.name(), f.restartEpoch)
		if err == nil {
			r.before = before
			r.self, _ = before.Self() // what it says of itself is nice to have
			if err = r.receive(); err != nil {
				return nil, err
			}
			return r, nil
		}
		if !f.skipNoParent {
			return nil, fmt.Errorf("--restart-epoch %d: %w (--skip-hot-restart-on-no-parent starts all the same)", f.restartEpoch, err)
		}
		log.Warn("starts as the first", "because", err)
		f.restartEpoch = 0
	}
	for tries := 0; ; tries++ {
		if f.useDynamicBaseID {
			f.baseID = uint(1 + rand.N(1<<31-1))
		}
		place, err := handover.Take(r.name())
		switch {
		case err == nil:
			r.place = place
			return r, r.permit()
		case errors.Is(err, handover.ErrTaken) && f.useDynamicBaseID && tries < 100:
			continue
		case errors.Is(err, handover.ErrTaken):
			return nil, fmt.Errorf("another process runs with --base-id %d: choose another one, take its place by --restart-epoch with one more than its own, or pass --disable-hot-restart", f.baseID)
		}
		return nil, err
	}
}

func (r *row) name() string { return handover.Name(r.flags.socketPath, r.flags.baseID) }

// permit sets who may come to a place that is in a folder. Whoever is not of our user is turned away all the same.
func (r *row) permit() error {
	if strings.HasPrefix(r.flags.socketPath, "@") {
		return nil
	}
	mode, _ := strconv.ParseUint(r.flags.socketMode, 8, 9)
	return os.Chmod(r.name(), os.FileMode(mode))
}

// receive gets what the process before hands over.
func (r *row) receive() error {
	list, err := r.before.Sockets()
	if err != nil {
		return err
	}
	for _, s := range list {
		unix.SetNonblock(s.FD, true)
		r.got[s.Key] = append(r.got[s.Key], s.FD)
	}
	r.place = r.before.Place()
	r.log.Info("takes the place of another process", "epoch", r.flags.restartEpoch, "sockets", len(list))
	return nil
}

// handed gives the sockets that are known by a key, once.
func (r *row) handed(key string) []int {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fds := r.got[key]
	delete(r.got, key)
	return fds
}

// prepare has the process before free what only one can have, and goes on from what it has counted.
func (r *row) prepare(stats *telemetry.Store) error {
	if r == nil {
		return nil
	}
	if r.stats = stats; r.before == nil {
		return nil
	}
	r.carry(r.before.Counters())
	return r.before.FreeAdmin()
}

func (r *row) carry(counters map[string]uint64, err error) {
	switch {
	case r.flags.skipParentStats:
	case err != nil:
		r.log.Warn("what the process before has counted is lost, or a part of it", "error", err)
	default:
		r.stats.Carry(counters)
	}
}

// takeOver has the process before ask its clients to go, now that this one serves, and end when its time is over; and waits for a successor.
func (r *row) takeOver(p *process) {
	if r == nil {
		return
	}
	if r.before != nil {
		if err := r.before.Drain(); err != nil {
			r.log.Error("the process before does not hear that it is to go: end it", "error", err)
		} else {
			r.takeConnections(p)
		}
		r.ending = time.AfterFunc(time.Duration(r.flags.parentShutdownTime)*time.Second, r.endBefore)
	}
	r.place.Serve(successor{p})
}

// takeConnections takes over those connections of the process before that can go on here, while this one serves already.
func (r *row) takeConnections(p *process) {
	arrivals, err := r.before.Connections()
	if err != nil {
		r.log.Warn("connections stay with the process before", "error", err)
		return
	}
	r.arrivals = arrivals
	var took, refused atomic.Int64
	arrivals.Serve(func(c *handover.Connection, claim func() bool) {
		if p.proxy.Take(c, claim) {
			took.Add(1)
		} else {
			refused.Add(1)
		}
	})
	go func() {
		<-arrivals.Settled()
		r.log.Info("connections were taken over", "connections", took.Load(), "refused", refused.Load())
	}()
}

// settleTime bounds how long the end of the process before waits for the connections that it hands over.
const settleTime = 30 * time.Second

// endBefore ends the process before. What it has counted to its end is taken over.
func (r *row) endBefore() {
	if r.arrivals != nil {
		select {
		case <-r.arrivals.Settled():
		case <-time.After(settleTime):
			r.log.Warn("the process before has not handed over all its connections")
		}
	}
	r.carry(r.before.End())
	r.before.Close()
	if r.arrivals != nil {
		r.arrivals.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, fds := range r.got { // of listeners that this process does not have
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	clear(r.got)
	r.log.Info("the process before has ended")
}

// numbered is up to where the processes before have numbered their connections.
func (r *row) numbered() uint64 {
	if r == nil || r.self == nil {
		return 0
	}
	return r.self.Numbered
}

// firstBegan is when the first process of the row did.
func (p *process) firstBegan() time.Time {
	if r := p.row; r != nil && r.self != nil && !r.self.Began.IsZero() {
		return r.self.Began
	}
	return p.began
}

// leave gives the place up.
func (r *row) leave() {
	if r == nil || r.place == nil {
		return
	}
	if r.ending != nil && r.ending.Stop() {
		r.before.End() // a process that was to go does not outlive the one that came after it
		r.before.Close()
		if r.arrivals != nil {
			r.arrivals.Close()
		}
	}
	r.place.Close()
	r.place = nil
}

// version is what /server_info says.
func (r *row) version() string {
	if r == nil {
		return "disabled"
	}
	return restartVersion
}

// successor is what a process does for the one that takes its place.
type successor struct{ *process }

// Self implements handover.Owner.
func (s successor) Self() handover.Self {
	dir, _ := os.Getwd()
	return handover.Self{BaseID: s.flags.baseID, Args: s.flags.args, Dir: dir, Numbered: s.proxy.Numbered(), Began: s.firstBegan()}
}

// Sockets implements handover.Owner.
func (s successor) Sockets() (list []handover.Socket) {
	s.proxy.Sockets(func(key string, fd int) {
		if fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			list = append(list, handover.Socket{Key: key, FD: fd})
		}
	})
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
