package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Connection is one that is carried between two sockets, and goes from a process to its successor.
type Connection struct {
	State        []byte // what is known of it, as JSON, in words of whoever carries it
	FDs          [2]int // downstream and upstream
	ToUp, ToDown []byte // what was read on one side and not yet written on the other
}

// A connection belongs to one process at each moment. Whoever gives it has stopped reading and writing before it is offered, and keeps its
// descriptors. It is the successor's as soon as the successor's word that it takes it lies in the queue of the giver's socket, and the successor
// touches nothing before that call has succeeded. A giver that does not want to wait any longer shuts that queue, after which no word can come
// into it, and looks whether one was in it: so both know the same, whoever hangs or dies in whichever moment. Connections have a socket of
// their own, so that to shut it ends nothing else.

// Bounds of an offer: of what is known of a connection, and of what is on its way in both directions together. What exceeds them stays.
const (
	mostState = 32 << 10
	mostBytes = 16 << 20
	piece     = 32 << 10 // of those bytes in a packet
)

// offerTime bounds what each side waits for the other while a connection is between them.
const offerTime = 5 * time.Second

// ErrTooLarge says that more is on its way, or known of a connection, than is handed over.
var ErrTooLarge = errors.New("handover: more is known of a connection, or on its way, than is handed over")

// offer is the first packet of a connection; without State it says that all that stood when the successor asked have been offered.
type offer struct {
	State  json.RawMessage `json:"state,omitempty"`
	ToUp   int             `json:"to_up,omitempty"`
	ToDown int             `json:"to_down,omitempty"`
}

// Answers to an offer.
var (
	taken   = []byte{'y'}
	refused = []byte{'n'}
)

// Offers is where a process offers its connections to its successor. Its methods but Close are for one goroutine.
type Offers struct {
	fd     int
	mu     sync.Mutex // between shut and free
	closed bool
}

func newOffers(fd int) *Offers {
	limit := unix.NsecToTimeval(offerTime.Nanoseconds())
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	return &Offers{fd: fd}
}

// Offer offers a connection that nobody touches until this returns, and says whether the successor has it now. An error means that it can be
// offered no more; what it says of this connection holds all the same.
func (o *Offers) Offer(c *Connection) (gone bool, err error) {
	if len(c.State) > mostState || len(c.ToUp)+len(c.ToDown) > mostBytes {
		return false, ErrTooLarge
	}
	if err := send(o.fd, offer{State: c.State, ToUp: len(c.ToUp), ToDown: len(c.ToDown)}, c.FDs[:]...); err != nil {
		return o.giveUp(err)
	}
	for _, b := range [...][]byte{c.ToUp, c.ToDown} {
		for len(b) > 0 {
			n := min(len(b), piece)
			err := unix.Sendmsg(o.fd, b[:n], nil, nil, unix.MSG_NOSIGNAL)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return o.giveUp(err)
			}
			b = b[n:]
		}
	}
	var b [1]byte
	switch n, err := recv(o.fd, b[:]); {
	case err != nil:
		return o.giveUp(err)
	case n == 0:
		return o.giveUp(errGone)
	}
	return b[0] == taken[0], nil
}

// giveUp waits no longer: no answer can come any more, and one that has come counts.
func (o *Offers) giveUp(why error) (gone bool, err error) {
	o.Close()
	var b [1]byte
	for range 4 { // the end, or what was before it: an error of the socket is told once, and before anything else
		n, err := recv(o.fd, b[:])
		if err == nil && n == 1 {
			gone = b[0] == taken[0]
			break
		}
		if err == nil {
			break
		}
	}
	if why == unix.EAGAIN {
		why = fmt.Errorf("no answer within %v", offerTime)
	}
	return gone, fmt.Errorf("handover: connections: %w", why)
}

// Settled tells the successor that all that stood when it asked have been offered. Others may come to stand.
func (o *Offers) Settled() error { return send(o.fd, offer{}) }

// Close has no connection be given any more. An offer that is under way is decided at once. Any goroutine may call it.
func (o *Offers) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		unix.Shutdown(o.fd, unix.SHUT_RDWR)
	}
}

// Free frees the socket, once nothing is offered any more.
func (o *Offers) Free() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed = true
		unix.Close(o.fd)
	}
}

// recv reads one packet.
func recv(fd int, b []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// Arrivals is where connections of the process before come in.
type Arrivals struct {
	fd      int
	served  sync.WaitGroup
	settled chan struct{}
	once    sync.Once
}

// Connections has the predecessor offer its connections, those that stand and those that come to stand.
func (p *Predecessor) Connections() (*Arrivals, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	err = p.ask(askConnections, nothing, pair[1])
	unix.Close(pair[1])
	if err != nil {
		unix.Close(pair[0])
		return nil, err
	}
	return &Arrivals{fd: pair[0], settled: make(chan struct{})}, nil
}

// Settled is closed when all have been offered that stood when they were asked for, or no more will be.
func (a *Arrivals) Settled() <-chan struct{} { return a.settled }

// Serve takes connections until Close, or until no more will come. take gets each, with its descriptors for its own. It calls claim when
// nothing can go wrong any more: true says that the connection is this process's, and no other process touches it. Of a connection that take
// has not claimed, or not got, it touches nothing but the descriptors, which it closes.
func (a *Arrivals) Serve(take func(c *Connection, claim func() bool)) {
	a.served.Go(func() {
		defer a.once.Do(func() { close(a.settled) })
		for a.receive(take) == nil {
		}
		unix.Shutdown(a.fd, unix.SHUT_RDWR) // whoever still offers something keeps it
	})
}

func (a *Arrivals) receive(take func(c *Connection, claim func() bool)) error {
	var q offer
	fds, err := receive(a.fd, &q)
	if err != nil {
		return err
	}
	if len(q.State) == 0 {
		closeAll(fds)
		a.once.Do(func() { close(a.settled) })
		return nil
	}
	if len(fds) != 2 || q.ToUp < 0 || q.ToDown < 0 || q.ToUp+q.ToDown > mostBytes {
		closeAll(fds)
		return fmt.Errorf("handover: an offer with %d descriptors of 2, and %d and %d bytes", len(fds), q.ToUp, q.ToDown)
	}
	c := &Connection{State: q.State, FDs: [2]int(fds), ToUp: make([]byte, q.ToUp), ToDown: make([]byte, q.ToDown)}
	limit := unix.NsecToTimeval(offerTime.Nanoseconds())
	unix.SetsockoptTimeval(a.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	for _, b := range [...][]byte{c.ToUp, c.ToDown} {
		for len(b) > 0 {
			n, err := recv(a.fd, b[:min(len(b), piece)])
			if err == nil && n == 0 {
				err = errGone
			}
			if err != nil {
				closeAll(fds)
				return err
			}
			b = b[n:]
		}
	}
	unix.SetsockoptTimeval(a.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{}) // the next one comes when it comes
	claimed, lost := false, false
	take(c, func() bool {
		claimed = unix.Sendmsg(a.fd, taken, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT) == nil
		lost = !claimed
		return claimed
	})
	switch {
	case lost:
		return errGone
	case !claimed:
		return unix.Sendmsg(a.fd, refused, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	}
	return nil
}

// Close takes no more. One that is being taken is, or is not, and both processes know which.
func (a *Arrivals) Close() {
	unix.Shutdown(a.fd, unix.SHUT_RDWR)
	a.served.Wait()
	unix.Close(a.fd)
}
