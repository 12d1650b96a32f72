package handover

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrTaken says that another process has the place.
var ErrTaken = errors.New("handover: another process has this base id")

// ErrNobody says that no process has the place.
var ErrNobody = errors.New("handover: no process to take over from")

var errGone = errors.New("the other process has gone")

// Socket is one that listens, and what it is known by.
type Socket struct {
	Key string
	FD  int
}

// Owner is whose place it is. Its methods are called from a goroutine of the place's, one at a time.
type Owner interface {
	// Self is who it is.
	Self() Self
	// Refuses is why the process of that id does not get the place; empty: it may. An id of 0 is one that cannot be seen from here.
	Refuses(pid int) string
	// Bequest is what else its successor goes on from, which only the two of them read; nil: nothing.
	Bequest() []byte
	// Sockets are those that listen, in descriptors of their own, which the place closes.
	Sockets() []Socket
	// CloseAdmin frees the address of the admin pages.
	CloseAdmin()
	// OpenAdmin opens them again: whoever wanted the address has gone.
	OpenAdmin()
	// Drain lets nobody new in, and asks those who are there to go.
	Drain()
	// Give has connections that can go on in another process be offered to it, from a goroutine of the owner's, which frees the offers.
	Give(o *Offers)
	// Counters is what has been counted so far, by name.
	Counters() map[string]uint64
	// End ends the process, after this call has returned.
	End()
	// Abandoned says that a successor that had Drain called has gone without End. Another one may come.
	Abandoned()
}

// Place is where a process waits for its successor.
type Place struct {
	fd     int
	epoch  uint
	stop   int // an eventfd
	served sync.WaitGroup
}

// Name is the socket of a base id; one that begins with @ is in no folder, and goes with its last process.
func Name(path string, baseID uint) string { return fmt.Sprintf("%s_weft_%d", path, baseID) }

// Take takes a place that nobody has.
func Take(name string) (*Place, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: name})
	if err == unix.EADDRINUSE && name[0] != '@' && !answers(name) {
		os.Remove(name) // of a process that has not cleaned up
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: name})
	}
	if err == nil {
		err = unix.Listen(fd, 1)
	}
	switch {
	case err == unix.EADDRINUSE:
		unix.Close(fd)
		return nil, ErrTaken
	case err != nil:
		unix.Close(fd)
		return nil, fmt.Errorf("handover: %s: %w", name, err)
	}
	return newPlace(fd, 0)
}

// answers tells whether somebody listens at a socket in a folder.
func answers(name string) bool {
	fd, err := connect(name)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

func newPlace(fd int, epoch uint) (*Place, error) {
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("handover: %w", err)
	}
	return &Place{fd: fd, epoch: epoch, stop: stop}, nil
}

// Epoch is how many have had the place before.
func (p *Place) Epoch() uint { return p.epoch }

// Serve waits for a successor, until Close.
func (p *Place) Serve(o Owner) {
	p.served.Go(func() {
		for p.wait(p.fd) {
			fd, _, err := unix.Accept4(p.fd, unix.SOCK_CLOEXEC)
			if err != nil {
				continue
			}
			given, freed, ended := p.converse(fd, o)
			unix.Close(fd)
			if ended {
				return
			}
			if freed {
				o.OpenAdmin()
			}
			if given { // it has died: as long as it lives it is the one who waits at the place
				o.Abandoned()
			}
		}
	})
}

// Close gives the place up.
func (p *Place) Close() {
	unix.Write(p.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	p.served.Wait()
	unix.Close(p.stop)
	unix.Close(p.fd)
}

// wait waits for something to read; false: the place is to be closed.
func (p *Place) wait(fd int) bool {
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(p.stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		}
		return fds[1].Revents == 0
	}
}

// converse does what a successor asks for. It says whether clients have been asked to go, so that the place is the successor's for as long as
// it lives, whether the admin pages are closed, and whether this process is to end, so that there is none to come any more.
func (p *Place) converse(fd int, o Owner) (given, freed, ended bool) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || int(cred.Uid) != os.Getuid() {
		send(fd, response{Error: "the place is another user's"})
		return false, false, false
	}
	for p.wait(fd) {
		var q request
		fds, err := receive(fd, &q)
		if err != nil {
			return given, freed, false // a successor that goes before it has taken over leaves everything as it was
		}
		if q.Ask == askConnections && q.Epoch == p.epoch+1 && given && len(fds) == 1 {
			o.Give(newOffers(fds[0]))
			fds, err = nil, send(fd, response{})
		} else if q.Ask == askEnd && q.Epoch == p.epoch+1 && o.Refuses(int(cred.Pid)) == "" {
			sendCounters(fd, o.Counters()) // to whoever still listens
			o.End()
			return given, freed, true
		} else {
			err = p.answer(fd, int(cred.Pid), &q, o)
			given = given || q.Epoch == p.epoch+1 && q.Ask == askDrain
			freed = freed || q.Epoch == p.epoch+1 && q.Ask == askAdmin
		}
		closeAll(fds)
		if err != nil {
			return given, freed, false
		}
	}
	return given, freed, true // the place is closed
}

// answer does what is asked for by itself. An error ends the conversation.
func (p *Place) answer(fd, pid int, q *request, o Owner) error {
	if q.Ask == askHello {
		self := o.Self()
		self.Epoch, self.Refuses = p.epoch, o.Refuses(pid)
		return send(fd, response{Self: &self})
	}
	if why := o.Refuses(pid); why != "" {
		send(fd, response{Error: why})
		return errors.New(why)
	}
	if q.Epoch != p.epoch+1 {
		err := fmt.Errorf("--restart-epoch is %d, and the process that runs has %d: want %d", q.Epoch, p.epoch, p.epoch+1)
		send(fd, response{Error: err.Error()})
		return err
	}
	switch q.Ask {
	case askSockets:
		return p.sendSockets(fd, o.Sockets())
	case askAdmin:
		o.CloseAdmin()
		return send(fd, response{})
	case askDrain:
		o.Drain()
		return send(fd, response{})
	case askCounters:
		return sendCounters(fd, o.Counters())
	case askBequest:
		return sendBytes(fd, o.Bequest())
	case askConnections:
		return send(fd, response{Error: "connections go to who has had the process drain, over one socket"})
	}
	return send(fd, response{Error: fmt.Sprintf("%q is not known here", q.Ask)})
}

func (p *Place) sendSockets(fd int, list []Socket) error {
	defer func(list []Socket) {
		for _, s := range list {
			unix.Close(s.FD)
		}
	}(list)
	list = append(list, Socket{Key: "", FD: p.fd})
	for some := range slices.Chunk(list, mostDescriptors) {
		r := response{}
		var fds []int
		for _, s := range some {
			r.Keys, fds = append(r.Keys, s.Key), append(fds, s.FD)
		}
		if list = list[len(some):]; len(list) > 0 {
			r.More = true
		}
		if err := send(fd, r, fds...); err != nil {
			return err
		}
	}
	return nil
}

func sendBytes(fd int, all []byte) error {
	for {
		n := min(len(all), pieceBytes)
		r := response{Bytes: all[:n], More: len(all) > n}
		if err := send(fd, r); err != nil || !r.More {
			return err
		}
		all = all[n:]
	}
}

func sendCounters(fd int, all map[string]uint64) error {
	names := slices.Sorted(maps.Keys(all))
	for {
		n := min(len(names), mostCounters)
		r := response{Counters: make(map[string]uint64, n), More: len(names) > n}
		for _, name := range names[:n] {
			r.Counters[name] = all[name]
		}
		if err := send(fd, r); err != nil || !r.More {
			return err
		}
		names = names[n:]
	}
}
