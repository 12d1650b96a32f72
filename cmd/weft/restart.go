package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
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

	mu      sync.Mutex
	bequest []byte           // what else is gone on from
	got     map[string][]int // sockets that were handed over and that nobody has taken yet
	ending  *time.Timer
}

// joinRow takes the place that the flags say, and what comes with it. Until takeOver the process before serves on, and should this one end
// before that, nothing has happened to it.
func joinRow(f *flags, log *slog.Logger) (*row, error) {
	if f.disableHotRestart {
		return nil, nil
	}
	r := &row{flags: f, log: log, got: map[string][]int{}}
	if f.takeOver {
		if err := r.find(); err != nil {
			return nil, err
		}
	}
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
		case errors.Is(err, handover.ErrTaken) && f.takeOver:
			return nil, errors.New("another sidecar starts here at the same moment: try again")
		case errors.Is(err, handover.ErrTaken) && f.sidecar:
			return nil, fmt.Errorf("another sidecar with the admin port %d runs here: weft upgrade PID takes its place, so does --take-over, and one with other ports (--admin-port, --agent-port, --ready-port, --prometheus-port) stands beside it", f.baseID)
		case errors.Is(err, handover.ErrTaken):
			return nil, fmt.Errorf("another process runs with --base-id %d: choose another one, take its place by --restart-epoch with one more than its own, or pass --disable-hot-restart", f.baseID)
		}
		return nil, err
	}
}

// find finds whose place is to be taken. If nobody runs this process is the first.
func (r *row) find() error {
	self, err := handover.Ask(r.name())
	switch {
	case errors.Is(err, handover.ErrNobody):
		r.log.Info("starts as the first: nobody runs whose place it could take")
		return nil
	case err != nil:
		return fmt.Errorf("the process that runs does not give its place, as one does not before it is ready: %w", err)
	case self.Refuses != "":
		return errors.New(self.Refuses)
	}
	r.flags.restartEpoch = self.Epoch + 1
	return nil
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
	if r.bequest, err = r.before.Bequest(); err != nil {
		return err
	}
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

// succeeds says whether there is a process before, whose place is still to be taken.
func (r *row) succeeds() bool { return r != nil && r.before != nil }

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
