package handover

import (
	"errors"
	"fmt"
	"maps"
	"os"

	"golang.org/x/sys/unix"
)

// Predecessor is the process whose place is taken.
type Predecessor struct {
	fd    int
	epoch uint // of the successor
	place *Place
}

// Succeed connects to the process whose place is to be taken by one with that epoch.
func Succeed(name string, epoch uint) (*Predecessor, error) {
	fd, err := connect(name)
	switch {
	case errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("%w: %w", ErrNobody, err)
	case err != nil:
		return nil, fmt.Errorf("handover: %w", err)
	}
	return &Predecessor{fd: fd, epoch: epoch}, nil
}

// Ask asks whoever has a place who it is.
func Ask(name string) (*Self, error) {
	p, err := Succeed(name, 0)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Self()
}

// Self asks the predecessor who it is.
func (p *Predecessor) Self() (self *Self, err error) {
	err = p.ask(askHello, func(r *response, _ []int) error {
		if self = r.Self; self == nil {
			return errors.New("no answer to that question")
		}
		return nil
	})
	return self, err
}

// connect connects to whoever has a place, if it is of our user: what it hands over is believed. A name in no folder may be anybody's.
func connect(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	limit := unix.NsecToTimeval(answerTime.Nanoseconds())
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: name})
	}
	if err == nil {
		var whose *unix.Ucred
		if whose, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil && int(whose.Uid) != os.Getuid() {
			err = fmt.Errorf("the place is that of user %d, and this process is of user %d", whose.Uid, os.Getuid())
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// ask asks, with those descriptors, and gives every packet of the answer to f.
func (p *Predecessor) ask(what string, f func(r *response, fds []int) error, with ...int) error {
	if err := send(p.fd, request{Ask: what, Epoch: p.epoch}, with...); err != nil {
		return fmt.Errorf("handover: %s: %w", what, err)
	}
	for {
		var r response
		fds, err := receive(p.fd, &r)
		if err == nil && r.Error != "" {
			err = errors.New(r.Error)
		}
		if err == nil {
			err = f(&r, fds)
		}
		if err != nil {
			return fmt.Errorf("handover: %s: %w", what, err)
		}
		if !r.More {
			return nil
		}
	}
}

// Sockets are the descriptors of all that listen. They are the caller's.
func (p *Predecessor) Sockets() (list []Socket, err error) {
	err = p.ask(askSockets, func(r *response, fds []int) error {
		if len(fds) != len(r.Keys) {
			closeAll(fds)
			return fmt.Errorf("%d descriptors of %d have come: is the limit of open files reached?", len(fds), len(r.Keys))
		}
		for i, key := range r.Keys {
			if key != "" {
				list = append(list, Socket{key, fds[i]})
				continue
			}
			unix.SetNonblock(fds[i], true)
			if p.place, err = newPlace(fds[i], p.epoch); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && p.place == nil {
		err = errors.New("handover: the place itself was not handed over")
	}
	if err != nil {
		for _, s := range list {
			unix.Close(s.FD)
		}
		return nil, err
	}
	return list, nil
}

// Place is the place, once Sockets has brought it.
func (p *Predecessor) Place() *Place { return p.place }

// FreeAdmin has the predecessor free the address of its admin pages.
func (p *Predecessor) FreeAdmin() error { return p.ask(askAdmin, nothing) }

// Drain has the predecessor let nobody new in, and ask its clients to go.
func (p *Predecessor) Drain() error { return p.ask(askDrain, nothing) }

func nothing(*response, []int) error { return nil }

// Counters is what the predecessor has counted so far.
func (p *Predecessor) Counters() (map[string]uint64, error) { return p.counters(askCounters) }

// Bequest is what else the predecessor has for this process.
func (p *Predecessor) Bequest() (all []byte, err error) {
	err = p.ask(askBequest, func(r *response, _ []int) error {
		if all = append(all, r.Bytes...); len(all) > mostBequest {
			return fmt.Errorf("more than %d bytes", mostBequest)
		}
		return nil
	})
	return all, err
}

// End ends the predecessor. It gives the last that it has counted.
func (p *Predecessor) End() (map[string]uint64, error) { return p.counters(askEnd) }

func (p *Predecessor) counters(what string) (map[string]uint64, error) {
	all := map[string]uint64{}
	err := p.ask(what, func(r *response, _ []int) error {
		maps.Copy(all, r.Counters)
		return nil
	})
	return all, err
}

// Close forgets the predecessor.
func (p *Predecessor) Close() { unix.Close(p.fd) }
